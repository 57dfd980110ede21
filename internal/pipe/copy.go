package pipe

import (
	"io"
	"sync"
)

const (
	// largeBuffer is an SSH channel's packet (32 KiB, RFC 4253 §6.1): what is
	// read at once then goes out as one packet.
	largeBuffer = 32 << 10

	// smallBuffer is what a direction holds while it waits for bytes, which is
	// most of the time for most connections: a full Ethernet frame and more.
	smallBuffer = 2 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// copyBytes copies until the end of src, which isn't an error. It turns to a
// large buffer when the small one gets filled, and back when the large one
// brings no more than a small one would.
func copyBytes(dst io.Writer, src io.Reader) (copied int64, err error) {
	small := smallBuffers.Get().(*[smallBuffer]byte)
	defer smallBuffers.Put(small)
	for {
		n, err := copyOnce(dst, src, small[:])
		copied += int64(n)
		if err == nil && n == len(small) {
			var more int64
			more, err = copyLarge(dst, src)
			copied += more
		}
		if err == io.EOF {
			return copied, nil
		}
		if err != nil {
			return copied, err
		}
	}
}

// copyLarge copies while there is much to copy.
func copyLarge(dst io.Writer, src io.Reader) (copied int64, err error) {
	large := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(large)
	for {
		n, err := copyOnce(dst, src, large[:])
		copied += int64(n)
		if err != nil || n <= smallBuffer {
			return copied, err
		}
	}
}

// copyOnce reads once and writes what came. The error is io.EOF at the end of
// src and for nothing else.
func copyOnce(dst io.Writer, src io.Reader, buffer []byte) (written int, err error) {
	n, readErr := src.Read(buffer)
	if n > 0 {
		written, err = dst.Write(buffer[:n])
		switch {
		case err == io.EOF: // an SSH channel says so when the peer has closed it
			return written, io.ErrClosedPipe
		case err != nil:
			return written, err
		case written < n:
			return written, io.ErrShortWrite
		}
	}
	return written, readErr
}
