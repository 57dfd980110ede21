package inspect

import (
	"errors"

	"golang.org/x/sys/windows"
)

// refused says whether err means that nobody listens at a socket.
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
