package agent

import (
	"fmt"
	"slices"
	"strings"

	"funnel/internal/forward"
)

// Event is what a Report tells.
type Event int

// The events.
const (
	// Up: every forward has an answer, for the first time or a different one
	// than was last reported. Those for UDP are waited for a few seconds only.
	Up Event = iota
	// UpAgain: the link was lost and is back, and every answer is as it was.
	UpAgain
)

// Report is how things stand once the relay has answered for every forward, or for
// all but those that wait.
type Report struct {
	Event    Event
	Relay    string   // the relay's host, as it was dialled
	Forwards []Status // in the order of Config.Forwards
}

// Status is the relay's answer for one forward.
type Status struct {
	Forward forward.Forward
	Public  string // where clients reach it, host:port; empty when Err is set
	Err     error  // why the relay refused it, or nil; of one that waits, why it does
	Final   bool   // it won't be asked for again
	Waits   bool   // there is no answer; another report follows when there is
}

// Waits says whether a forward does.
func (r Report) Waits() bool {
	return slices.ContainsFunc(r.Forwards, func(s Status) bool { return s.Waits })
}

// String is the report as it is shown to a person: a headline and one line per
// forward, or the headline alone when nothing changed. It ends in a newline.
func (r Report) String() string {
	if r.Event == UpAgain {
		return fmt.Sprintf("funnel is up again: %s\n", r.Relay)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.headline(), r.Relay)
	width := 0
	for _, s := range r.Forwards {
		width = max(width, len(s.where()))
	}
	for _, s := range r.Forwards {
		if s.Err != nil {
			what := "refused: " + reason(oneLine(s.Err), s.Final)
			if s.Waits {
				what = "waits: " + oneLine(s.Err)
			}
			fmt.Fprintf(&b, "  %s  %-*s    %s\n", s.Forward.Network, width, s.where(), what)
			continue
		}
		fmt.Fprintf(&b, "  %s  %-*s -> %s\n", s.Forward.Network, width, s.where(), s.Forward.Target())
	}
	return b.String()
}

// headline claims to be up if anything is: the lines below it say what isn't.
func (r Report) headline() string {
	for _, s := range r.Forwards {
		if s.Err == nil {
			return "funnel is up"
		}
	}
	return "funnel is connected, but nothing is exposed"
}

// where is the address the status is about.
func (s Status) where() string {
	if s.Err != nil {
		return s.Forward.Listen()
	}
	return s.Public
}

// reason is why a forward was refused, and whether that is the end of it.
func reason(text string, final bool) string {
	if final {
		return text
	}
	return text + "; trying again"
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
