package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// String is the state as it is shown to a person: a headline and some ten lines
// below it. It ends in a newline.
func (s State) String() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s  %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "agent %d (%s), running for %s\n", s.PID, s.Version, span(s.Running))
	line("relay", "%s", s.Relay)
	switch {
	case s.Connected:
		line("connected", "since %s, for %s", clock(s.Since), span(s.For))
	case len(s.Outages) > 0:
		line("away", "since %s, for %s: %s", clock(s.Since), span(s.For), s.Outages[len(s.Outages)-1].Cause)
	default:
		line("connected", "not yet")
	}
	if l := s.Link; l != nil {
		doubt := ""
		if l.Doubt {
			doubt = ", no sign of life at the moment"
		}
		line("link", "%s, %s, round trip %s%s", l.Remote, l.Server, trip(l.RTT), doubt)
	}
	if l := s.Lanes; l != nil {
		var trips []string
		for _, lane := range l.Up {
			trips = append(trips, trip(lane.RTT))
		}
		text := fmt.Sprintf("%d of %d up", len(l.Up), l.Want)
		if len(trips) > 0 {
			text += ", round trips " + strings.Join(trips, ", ")
		}
		line("lanes", "%s", text)
	}
	line("reconnects", "%d", s.Reconnects)
	for _, o := range s.Outages {
		if o.Over {
			line("", "%s  away for %s: %s", clock(o.Began), span(o.Away), o.Cause)
		}
	}
	line("carries", "%s, %s", count(s.TCPConns, "TCP connection"), count(s.UDPFlows, "UDP flow"))
	if len(s.Drops) > 0 {
		var drops []string
		for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
			drops = append(drops, fmt.Sprintf("%d %s", s.Drops[reason], reason))
		}
		line("dropped", "%s", strings.Join(drops, ", "))
	}
	for _, f := range s.Forwards {
		line(f.Network, "%s", f)
	}
	return b.String()
}

// String is where the forward stands.
func (f ForwardState) String() string {
	switch {
	case f.Refused != "":
		return fmt.Sprintf("%s refused: %s", f.Listen, reason(f.Refused, f.Final))
	case f.Waits != "":
		return fmt.Sprintf("%s waits for the relay, for %s: %s", f.Listen, f.Target, f.Waits)
	case f.Public == "":
		return fmt.Sprintf("%s waits for the relay, for %s", f.Listen, f.Target)
	}
	return fmt.Sprintf("%s -> %s", f.Public, f.Target)
}

// count is a number of things that have an ordinary plural.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// clock is a time of the wall clock here.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// span is a length of time, short.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func trip(milliseconds float64) string {
	if milliseconds == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f ms", milliseconds)
}
