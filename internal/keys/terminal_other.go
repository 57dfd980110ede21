//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package keys

import (
	"errors"
	"os"
)

// openConsole finds none: without a way to hide what is typed, nobody is asked.
func openConsole() (*console, error) { return nil, errors.ErrUnsupported }

func silence(*os.File) (restore func() error, err error) { return nil, errors.ErrUnsupported }
