package resume

import "sync"

// chunk is memory for a stretch of the bytes from local.
type chunk struct {
	next  *chunk
	start uint64 // position of the first byte
	used  int    // bytes
	data  []byte

	writers int  // how many are writing from it to a channel; one of them may be stuck in an old one
	dropped bool // by kept; the last writer recycles it
}

var (
	smallChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, smallChunk)} }}
	largeChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, largeChunk)} }}
)

// newChunk returns a small or a large chunk, whose data may be old.
func newChunk(size int) *chunk {
	if size == smallChunk {
		return smallChunks.Get().(*chunk)
	}
	return largeChunks.Get().(*chunk)
}

// recycle gives the chunk back. Nobody may have it any more.
func (c *chunk) recycle() {
	data := c.data
	*c = chunk{data: data}
	if len(data) == smallChunk {
		smallChunks.Put(c)
	} else {
		largeChunks.Put(c)
	}
}

// end is the position behind the last byte.
func (c *chunk) end() uint64 { return c.start + uint64(c.used) } // #nosec G115 -- a length

// nextSize chooses the size of what is read into next: large when the one before
// got filled, small when it brought no more than a small one would.
func nextSize(size, space, n int) int {
	switch {
	case n == space:
		return largeChunk
	case n <= smallChunk:
		return smallChunk
	}
	return size
}
