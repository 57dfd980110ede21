package lockdown

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Rights of Landlock's (linux/landlock.h). Nothing may be executed anywhere.
const (
	readFile landlock.AccessFSSet = ll.AccessFSReadFile
	read                          = readFile | ll.AccessFSReadDir
	write                         = ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSRemoveFile
)

// all is what the newest Landlock that the library knows can take, but for the
// network. An older one takes what it can.
var all = landlock.Config{HandledAccessFS: landlock.V11.HandledAccessFS, Scoped: landlock.V11.Scoped}.BestEffort()

// library is files that Go's standard library reads more than once or late:
// for its resolver, and for the length of a listener's queue.
var library = []string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services",
	"/proc/sys/net/core/somaxconn",
}

func enter(files Files, log *slog.Logger) error {
	settle()
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		log.Debug("files not locked down", "cause", "the kernel has no Landlock, or it is turned off or kept from us", "error", err)
		return nil
	}
	var watched []string
	for _, path := range files.Watched {
		if path != "" {
			watched = append(watched, steps(path)...)
		}
	}
	for _, path := range library {
		watched = append(watched, steps(path)[1:]...) // /etc itself stays out of reach
	}
	readable := directories(watched)
	rules := []landlock.Rule{
		landlock.PathAccess(read, readable...),
		landlock.PathAccess(readFile, library...).IgnoreIfMissing(),
	}
	if files.State != "" {
		rules = append(rules, landlock.PathAccess(read|write, files.State).IgnoreIfMissing())
	}
	if err := all.Restrict(rules...); err != nil {
		return err
	}
	log.Debug("locked down", "landlock", version, "readable", readable, "writable", files.State)
	return nil
}

// settle has the standard library read now what it reads only once, the time
// zone, and keeps it from the C library's resolver, which loads programs.
func settle() {
	_, _ = time.Now().Zone()
	net.DefaultResolver.PreferGo = true
}
