package limit

import "sync/atomic"

// Counter counts what there is, up to an end. The zero Counter, and a nil one,
// has no end. Safe for concurrent use.
type Counter struct {
	most  int64
	count atomic.Int64
}

// NewCounter returns a counter that ends at most; 0 is no end.
func NewCounter(most int) *Counter { return &Counter{most: int64(most)} }

// Take counts one more, unless there are as many as may be.
func (c *Counter) Take() bool {
	if c == nil {
		return true
	}
	if n := c.count.Add(1); c.most == 0 || n <= c.most {
		return true
	}
	c.count.Add(-1)
	return false
}

// Give counts one less.
func (c *Counter) Give() {
	if c != nil {
		c.count.Add(-1)
	}
}

// Crowded reports whether less than an eighth of the places is left.
func (c *Counter) Crowded() bool {
	return c != nil && c.most > 0 && c.count.Load() >= c.most-c.most/8
}

// Count is how many there are.
func (c *Counter) Count() int {
	if c == nil {
		return 0
	}
	return int(c.count.Load())
}
