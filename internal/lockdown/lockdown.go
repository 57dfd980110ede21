// Package lockdown takes from a running process what it doesn't need: whoever
// takes it over can then do little with it. On Linux that is new privileges
// (no_new_privs) and, where the kernel has Landlock (5.13 and later), every file
// that isn't granted, programs, signals to other processes and their Unix sockets
// (Landlock 6 and later the abstract ones, 9 and later those with a path). It is
// for the rest of the process's life, for all its threads and for whatever they
// start. Elsewhere there is nothing of the kind.
//
// The network stays as it is: which ports a relay binds is only known when
// somebody asks for them.
package lockdown

import "log/slog"

// Files are those that the process still needs. Everything else is out of
// reach, but for files that are open and sockets that are connected already.
type Files struct {
	// Watched are files that are read again and again, and may be replaced or
	// not be there yet: the directory of each is granted for reading, and of
	// each file that it links to. Empty strings are skipped.
	Watched []string

	// State is a directory to read and write in; "" is none, and so is one that
	// isn't there.
	State string
}

// Enter locks the process down. What the system can't do is no error: it is
// left out, and log tells it at level debug. Enter is called once, when all
// else that the process wants to open has been opened.
func Enter(files Files, log *slog.Logger) error { return enter(files, log) }
