package lockdown

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inside is set in the process that locks itself down, as the test's own must
// stay as it is. It names the directory to do so in.
const inside = "FUNNEL_TEST_LOCKDOWN"

func TestMain(m *testing.M) {
	directory := os.Getenv(inside)
	if directory == "" {
		os.Exit(m.Run())
	}
	if err := (confined{directory}).run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestLockedDown locks a process down, replaces its files as an operator does,
// and has it try what it may and may not.
func TestLockedDown(t *testing.T) {
	if version, err := ll.LandlockGetABIVersion(); err != nil || version < 1 {
		if os.Getenv("FUNNEL_REQUIRE_ALL") == "1" {
			t.Fatal("FUNNEL_REQUIRE_ALL=1, but the kernel has no Landlock")
		}
		t.Skip("SKIPPED, NOT TESTED: the kernel has no Landlock")
	}
	directory := t.TempDir()
	in := func(name string) string { return filepath.Join(directory, name) }
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(in(name)), 0o700))
		require.NoError(t, os.WriteFile(in(name), []byte(text), 0o600))
	}
	write("state/host", "key")
	write("etc/keys", "one")
	write("etc/data-1/networks", "one")
	write("linked/revoked", "one")
	write("later/beside", "")
	write("secret/secret", "secret")
	require.NoError(t, os.Symlink("data-1", in("etc/data")))
	require.NoError(t, os.Symlink("data/networks", in("etc/networks")))
	require.NoError(t, os.Symlink("../linked/revoked", in("etc/revoked")))

	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), inside+"="+directory)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	defer command.Wait()
	defer stdin.Close()
	said := bufio.NewReader(stdout)
	line, err := said.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked down\n", line)

	write("etc/keys.next", "two")
	require.NoError(t, os.Rename(in("etc/keys.next"), in("etc/keys")))
	write("linked/revoked.next", "two")
	require.NoError(t, os.Rename(in("linked/revoked.next"), in("linked/revoked")))
	// As a mounted volume of Kubernetes' changes: by the link in the middle.
	write("etc/data-2/networks", "two")
	require.NoError(t, os.Symlink("data-2", in("etc/data.next")))
	require.NoError(t, os.Rename(in("etc/data.next"), in("etc/data")))
	write("later/not/yet/there", "two")
	require.NoError(t, stdin.Close())

	rest, err := io.ReadAll(said)
	require.NoError(t, err)
	require.NoError(t, command.Wait(), "%s", rest)
	require.Empty(t, string(rest))
}

// confined is the other process, and the directory in which it finds its files.
type confined struct{ directory string }

func (c confined) in(name string) string { return filepath.Join(c.directory, name) }

// run returns what isn't as it should be.
func (c confined) run() error {
	open, err := os.Open(c.in("secret/secret"))
	if err != nil {
		return err
	}
	var log bytes.Buffer
	err = Enter(Files{
		Watched: []string{c.in("etc/keys"), c.in("etc/networks"), c.in("etc/revoked"), c.in("later/not/yet/there"), ""},
		State:   c.in("state"),
	}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		return err
	}
	if !strings.Contains(log.String(), `msg="locked down"`) {
		return fmt.Errorf("the log says nothing of it: %s", log.String())
	}
	fmt.Println("locked down")
	if _, err := io.ReadAll(os.Stdin); err != nil { // until files are replaced
		return err
	}
	if text, err := io.ReadAll(open); err != nil || string(text) != "secret" {
		return fmt.Errorf("a file that was open reads as %q, %w", text, err)
	}
	if err := c.works(); err != nil {
		return err
	}
	// On more threads than there were, so that new ones are among them.
	problems := make([]error, 16)
	var threads sync.WaitGroup
	for i := range problems {
		threads.Go(func() {
			runtime.LockOSThread()
			problems[i] = c.outOfReach()
		})
	}
	threads.Wait()
	return errors.Join(problems...)
}

// works is what must work as before.
func (c confined) works() error {
	for _, name := range []string{"etc/keys", "etc/networks", "etc/revoked", "later/not/yet/there"} {
		if text, err := os.ReadFile(c.in(name)); err != nil || string(text) != "two" {
			return fmt.Errorf("%s reads as %q, %w", name, text, err)
		}
	}
	if _, err := os.ReadFile(c.in("state/host")); err != nil {
		return err
	}
	if err := os.WriteFile(c.in("state/new.next"), []byte("new"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(c.in("state/new.next"), c.in("state/new")); err != nil {
		return err
	}
	if err := os.Remove(c.in("state/new")); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := net.LookupHost("localhost"); err != nil {
		return fmt.Errorf("names are not looked up: %w", err)
	}
	return nil
}

// outOfReach is what must not work any more, on the calling thread.
func (c confined) outOfReach() error {
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || set != 1 {
		return fmt.Errorf("new privileges can be had: %d, %w", set, err)
	}
	read := func(path string) error { _, err := os.ReadFile(path); return err }
	write := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	for what, err := range map[string]error{
		"read a file":             read(c.in("secret/secret")),
		"read /etc/passwd":        read("/etc/passwd"),
		"list a directory":        func() error { _, err := os.ReadDir("/etc"); return err }(),
		"write what is read only": write(c.in("etc/keys")),
		"make a file beside it":   write(c.in("etc/new")),
		"make a file elsewhere":   write(c.in("secret/new")),
		"make a directory":        os.Mkdir(c.in("state/directory"), 0o700),
		"make a link":             os.Symlink("x", c.in("state/link")),
		"move a file away":        os.Rename(c.in("state/host"), c.in("etc/host")),
		"run a program":           exec.Command("/bin/true").Run(),
		"run itself":              exec.Command("/proc/self/exe").Run(),
	} {
		// To move a file elsewhere looks like two file systems.
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EXDEV) {
			return fmt.Errorf("%s: want a refusal, not %v", what, err)
		}
	}
	return nil
}
