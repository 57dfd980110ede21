package keys

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// openConsole opens the program's console, wherever the standard streams go.
func openConsole() (*console, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		in.Close()
		return nil, err
	}
	c := &console{in: in, out: out}
	if !isTerminal(in) || !isTerminal(out) {
		c.close()
		return nil, errors.New("CONIN$ is not a console")
	}
	return c, nil
}

// silence turns the echo off; lines and Ctrl-C stay with the console.
func silence(file *os.File) (restore func() error, err error) {
	handle := windows.Handle(file.Fd())
	var before uint32
	if err := windows.GetConsoleMode(handle, &before); err != nil {
		return nil, err
	}
	quiet := before&^windows.ENABLE_ECHO_INPUT | windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	if err := windows.SetConsoleMode(handle, quiet); err != nil {
		return nil, err
	}
	return func() error { return windows.SetConsoleMode(handle, before) }, nil
}
