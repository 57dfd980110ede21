package keys

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pseudoTerminal is a terminal with a Terminal at one end and the test as the
// user at the other.
type pseudoTerminal struct {
	*Terminal
	user *os.File
	read *bufio.Reader
	name string
}

func openPseudoTerminal(t *testing.T) *pseudoTerminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { user.Close() })
	p := &pseudoTerminal{Terminal: NewTerminal(), user: user, read: bufio.NewReader(user)}
	require.NoError(t, control(user, func(fd int) error {
		number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		p.name = "/dev/pts/" + strconv.Itoa(number)
		return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	}))
	// Held open, so that the user's side reads on between two questions.
	hold := p.openFar(t)
	t.Cleanup(func() { hold.Close() })
	p.Terminal.open = func() (*console, error) {
		file := p.openFar(t)
		return &console{in: file, out: file}, nil
	}
	return p
}

func (p *pseudoTerminal) openFar(t *testing.T) *os.File {
	file, err := os.OpenFile(p.name, os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return file
}

// expect reads what the terminal shows up to the last byte of want.
func (p *pseudoTerminal) expect(t *testing.T, want string) {
	t.Helper()
	require.NoError(t, p.user.SetReadDeadline(time.Now().Add(20*time.Second)))
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		one, err := p.read.ReadByte()
		require.NoError(t, err, "got %q, want %q", got, want)
		got = append(got, one)
	}
	require.Equal(t, want, string(got))
}

func (p *pseudoTerminal) echoes(t *testing.T) (on bool) {
	t.Helper()
	require.NoError(t, control(p.user, func(fd int) error {
		state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			on = state.Lflag&unix.ECHO != 0
		}
		return err
	}))
	return on
}

func (p *pseudoTerminal) types(t *testing.T, line string) {
	t.Helper()
	_, err := p.user.WriteString(line)
	require.NoError(t, err)
}

type answer struct {
	secret []byte
	yes    bool
	err    error
}

func TestTerminalSecretHasNoEcho(t *testing.T) {
	p := openPseudoTerminal(t)
	done := make(chan answer, 1)
	go func() {
		secret, err := p.Secret(t.Context(), "Passphrase: ")
		done <- answer{secret: secret, err: err}
	}()
	p.expect(t, "Passphrase: ")
	require.False(t, p.echoes(t))
	p.types(t, "swordfisg\x7fh\n")
	got := <-done
	require.NoError(t, got.err)
	require.Equal(t, "swordfish", string(got.secret))
	p.expect(t, "\r\n")
	require.True(t, p.echoes(t))
}

func TestTerminalConfirm(t *testing.T) {
	p := openPseudoTerminal(t)
	done := make(chan answer, 1)
	for _, test := range []struct {
		typed string
		want  bool
	}{{"yes", true}, {"No", false}, {" YES ", true}} {
		go func() {
			yes, err := p.Confirm(t.Context(), "Trust it? ")
			done <- answer{yes: yes, err: err}
		}()
		p.expect(t, "Trust it? ")
		p.types(t, "y\n")
		p.expect(t, "y\r\nPlease type yes or no: ")
		p.types(t, test.typed+"\n")
		p.expect(t, test.typed+"\r\n")
		got := <-done
		require.NoError(t, got.err)
		require.Equal(t, test.want, got.yes)
	}
}

func TestTerminalIsRestoredAtInterrupt(t *testing.T) {
	p := openPseudoTerminal(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan answer, 1)
	go func() {
		_, err := p.Secret(ctx, "Passphrase: ")
		done <- answer{err: err}
	}()
	p.expect(t, "Passphrase: ")
	require.False(t, p.echoes(t))
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	got := <-done
	require.ErrorIs(t, got.err, interrupted)
	require.True(t, p.echoes(t))

	_, err := p.Secret(ctx, "Passphrase: ")
	require.ErrorIs(t, err, interrupted, "nothing is asked any more")
}

func TestTerminalEndOfInput(t *testing.T) {
	p := openPseudoTerminal(t)
	done := make(chan answer, 1)
	go func() {
		_, err := p.Secret(t.Context(), "Passphrase: ")
		done <- answer{err: err}
	}()
	p.expect(t, "Passphrase: ")
	p.types(t, "\x04")
	require.ErrorContains(t, (<-done).err, "none was given")
}

func TestTerminalAsksOneAtATime(t *testing.T) {
	p := openPseudoTerminal(t)
	done := make(chan answer, 2)
	for range 2 {
		go func() {
			yes, err := p.Confirm(t.Context(), "? ")
			done <- answer{yes: yes, err: err}
		}()
	}
	for range 2 {
		p.expect(t, "? ")
		p.types(t, "yes\n")
		p.expect(t, "yes\r\n")
		require.True(t, (<-done).yes)
	}
}
