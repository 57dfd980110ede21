package resume

import "sync/atomic"

// Spare is memory that the conns of a program share: what their directions may
// have on the way beyond the window of a channel. It is counted, not set aside.
// Safe for concurrent use.
type Spare struct {
	left atomic.Int64 // bytes
}

// NewSpare returns so many bytes.
func NewSpare(bytes int64) *Spare {
	s := &Spare{}
	s.left.Store(bytes)
	return s
}

// take takes n bytes if there are as many; never from nil.
func (s *Spare) take(n uint64) bool {
	if s == nil {
		return false
	}
	if s.left.Add(-int64(n)) >= 0 { // #nosec G115 -- a size of memory
		return true
	}
	s.give(n)
	return false
}

// give gives back what was taken.
func (s *Spare) give(n uint64) {
	if n > 0 {
		s.left.Add(int64(n)) // #nosec G115 -- as above
	}
}
