//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package keys

import "golang.org/x/sys/unix"

// The ioctl requests of termios, see tty(4).
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)
