package netwatch

import (
	"fmt"
	"strings"
)

// Change is what was seen of the host's network, and of its sleep, since the
// change before.
type Change struct {
	// Seen says it in words, one thing each, as in "address 192.0.2.7 added on
	// eth0", at most maxSeen of them.
	Seen []string
	// More is how many more things there were.
	More int
}

// String is all of it, for a log line.
func (c Change) String() string {
	s := strings.Join(c.Seen, "; ")
	if c.More > 0 {
		s += fmt.Sprintf("; and %d more", c.More)
	}
	return s
}

// and is c and then what was seen later.
func (c Change) and(later Change) Change {
	room := min(maxSeen-len(c.Seen), len(later.Seen))
	return Change{
		Seen: append(c.Seen[:len(c.Seen):len(c.Seen)], later.Seen[:room]...),
		More: c.More + later.More + len(later.Seen) - room,
	}
}
