package keys

import (
	"context"
	"errors"
)

// ErrNoTerminal says that there is nobody to ask: the program has no
// controlling terminal, as under systemd or in a container.
var ErrNoTerminal = errors.New("no terminal to ask at")

// Prompt asks the user. Both methods return ErrNoTerminal, possibly wrapped,
// when nobody can be asked, and the context's cause when it ends first. They
// may be called from several goroutines; one question stands at a time.
type Prompt interface {
	// Secret returns the line typed, without its end and without echo. The
	// caller owns the bytes and should clear them.
	Secret(ctx context.Context, question string) ([]byte, error)
	// Confirm asks until it hears yes or no.
	Confirm(ctx context.Context, question string) (bool, error)
}
