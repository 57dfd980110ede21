package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Terminal is the [Prompt] at the program's controlling terminal, which it
// opens anew for each question: standard input may well be something else.
type Terminal struct {
	turn chan struct{} // holds one token: whoever took it is asking
	open func() (*console, error)
}

var _ Prompt = (*Terminal)(nil)

// NewTerminal opens nothing yet.
func NewTerminal() *Terminal {
	terminal := &Terminal{turn: make(chan struct{}, 1), open: openConsole}
	terminal.turn <- struct{}{}
	return terminal
}

// Secret implements [Prompt].
func (t *Terminal) Secret(ctx context.Context, question string) ([]byte, error) {
	var line []byte
	err := t.withConsole(ctx, func(c *console) (err error) {
		line, err = c.askSecret(ctx, question)
		return err
	})
	return line, err
}

// Confirm implements [Prompt].
func (t *Terminal) Confirm(ctx context.Context, question string) (bool, error) {
	var yes bool
	err := t.withConsole(ctx, func(c *console) error {
		for {
			line, err := c.ask(ctx, question)
			if err != nil {
				return err
			}
			switch strings.ToLower(strings.TrimSpace(string(line))) {
			case "yes":
				yes = true
				return nil
			case "no":
				return nil
			}
			question = "Please type yes or no: "
		}
	})
	return yes, err
}

func (t *Terminal) withConsole(ctx context.Context, ask func(*console) error) error {
	select {
	case <-t.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { t.turn <- struct{}{} }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c, err := t.open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer c.close()
	return ask(c)
}

// console is an open terminal; on Windows its two sides are two files.
type console struct {
	in, out *os.File
}

func (c *console) close() {
	c.in.Close()
	if c.out != c.in {
		c.out.Close()
	}
}

// ask shows the question and reads a line with echo.
func (c *console) ask(ctx context.Context, question string) ([]byte, error) {
	if _, err := io.WriteString(c.out, question); err != nil {
		return nil, fmt.Errorf("write to the terminal: %w", err)
	}
	return c.readLine(ctx)
}

// askSecret does the same without echo and puts the echo back in any case.
func (c *console) askSecret(ctx context.Context, question string) ([]byte, error) {
	restore, err := silence(c.in)
	if err != nil {
		return nil, fmt.Errorf("turn off the terminal's echo: %w", err)
	}
	line, err := c.ask(ctx, question)
	if restoreErr := restore(); err == nil && restoreErr != nil {
		err = fmt.Errorf("turn on the terminal's echo: %w", restoreErr)
	}
	// The line end that was typed did not show.
	_, _ = io.WriteString(c.out, "\n")
	return line, err
}

// readLine reads until a line end or the end of ctx.
func (c *console) readLine(ctx context.Context) ([]byte, error) {
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := scanLine(c.in)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
	}
	// Linux and FreeBSD let go of a read at a deadline. macOS and Windows do
	// not for a terminal: there the reader is left to end with the program,
	// which is what an interrupt at a question leads to.
	if c.in.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-done
	}
	return nil, context.Cause(ctx)
}

// scanLine reads byte by byte, so as to take nothing of a second line.
func scanLine(in io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxAnswer) // full size: growing would leave copies of a secret
	for one := make([]byte, 1); ; {
		n, err := in.Read(one)
		switch {
		case n == 1 && one[0] == '\n':
			return trimReturn(line), nil
		case n == 1 && len(line) == maxAnswer:
			return nil, fmt.Errorf("read the answer: longer than %d bytes", maxAnswer)
		case n == 1:
			line = append(line, one[0])
		case errors.Is(err, io.EOF):
			return nil, errors.New("read the answer: none was given")
		case err != nil:
			return nil, fmt.Errorf("read the answer: %w", err)
		}
	}
}

// trimReturn drops the carriage return with which Windows ends its lines.
func trimReturn(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// isTerminal asks without File.Fd, which would take the file out of the poller
// and with it the means to interrupt a read.
func isTerminal(file *os.File) bool {
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	_ = raw.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) })
	return is
}
