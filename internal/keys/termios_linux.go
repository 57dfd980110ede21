package keys

import "golang.org/x/sys/unix"

// The ioctl requests of termios, see ioctl_tty(2).
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
