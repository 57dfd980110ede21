//go:build !windows

package inspect

import (
	"errors"
	"syscall"
)

// refused says whether err means that nobody listens at a socket.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
