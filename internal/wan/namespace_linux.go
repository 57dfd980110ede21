package wan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it lives as long as our
// descriptor, a process or a socket in it.
type namespace struct {
	file *os.File
}

// threadNamespace opens the namespace of the calling thread.
func threadNamespace() (namespace, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	return namespace{f}, err
}

// newNamespace makes a namespace.
func newNamespace() (n namespace, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		n, err = threadNamespace()
		return err
	})
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("to make network namespaces takes root, or CAP_SYS_ADMIN and CAP_NET_ADMIN: %w", err)
	}
	return n, err
}

// do runs f with the calling goroutine's thread in the namespace.
func (n namespace) do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the calling thread into the namespace.
func (n namespace) enter() error {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	return errors.Join(err, failed)
}

// onThread runs f on a thread that no other goroutine uses meanwhile, and puts
// the thread back into its namespace, also if f panics. A thread that can't go
// back ends with its goroutine, instead of surprising another.
func onThread(f func() error) error {
	runtime.LockOSThread()
	before, err := threadNamespace()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if before.enter() == nil {
			runtime.UnlockOSThread()
		}
		before.file.Close()
	}()
	return f()
}

// kill ends the processes in the namespace, but ours, and waits until they
// are gone, for at most the time given.
func (n namespace) kill(atMost time.Duration) error {
	deadline := time.Now().Add(atMost)
	for {
		pids, err := n.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v could not be killed", pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// processes returns the ids of the processes in the namespace, but ours.
func (n namespace) processes() ([]int, error) {
	var own unix.Stat_t
	if err := unix.Stat(n.path(), &own); err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, link := range links {
		var stat unix.Stat_t
		// One that ended meanwhile, or is a zombie, is in no namespace.
		if unix.Stat(link, &stat) != nil || stat.Ino != own.Ino || stat.Dev != own.Dev {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// path names the namespace for other processes, as long as it is open here.
func (n namespace) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
}
