//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package keys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openConsole opens the controlling terminal, wherever the standard streams go.
func openConsole() (*console, error) {
	file, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if !isTerminal(file) {
		file.Close()
		return nil, errors.New("/dev/tty is not a terminal")
	}
	return &console{in: file, out: file}, nil
}

// silence turns the echo off and nothing else: line editing and the interrupt
// key stay with the terminal, so that Ctrl-C reaches the program as a signal.
func silence(file *os.File) (restore func() error, err error) {
	var before *unix.Termios
	err = control(file, func(fd int) (err error) {
		if before, err = unix.IoctlGetTermios(fd, getTermios); err != nil {
			return err
		}
		quiet := *before
		quiet.Lflag &^= unix.ECHO | unix.ECHONL
		quiet.Lflag |= unix.ICANON | unix.ISIG
		quiet.Iflag |= unix.ICRNL
		return unix.IoctlSetTermios(fd, setTermios, &quiet)
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		return control(file, func(fd int) error { return unix.IoctlSetTermios(fd, setTermios, before) })
	}, nil
}

func control(file *os.File, do func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := raw.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return err
	}
	return doErr
}
