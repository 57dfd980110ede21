package agent

import (
	"os"
	"time"

	"funnel/internal/obs"
)

// State is how an agent fares at a moment. Its JSON is relied on by scripts: add,
// don't rename. Durations are in the unit that their name ends in, and measured,
// so that they are right also where the clock was set.
type State struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Relay   string    `json:"relay"` // host:port as it is dialled
	User    string    `json:"user"`  // whom it logs in as
	Started time.Time `json:"started"`
	Running float64   `json:"running_seconds"`

	// Connected says whether there is a link: that of the TCP forwards if there
	// are any, else a lane. Since is since when there is one, or none.
	Connected  bool      `json:"connected"`
	Since      time.Time `json:"since"`
	For        float64   `json:"for_seconds"` // since Since
	Reconnects int       `json:"reconnects"`
	Outages    []Outage  `json:"outages"` // the last few, the oldest first

	Link     *LinkState     `json:"link"`  // of the TCP forwards; nil without one
	Lanes    *LanesState    `json:"lanes"` // nil without UDP forwards
	Forwards []ForwardState `json:"forwards"`

	TCPConns int               `json:"tcp_conns"` // those to be connected included
	UDPFlows int               `json:"udp_flows"`
	Drops    map[string]uint64 `json:"drops"` // datagrams by reason, since the start
}

// Outage is a time without a link to the relay.
type Outage struct {
	Began time.Time `json:"began"`
	Over  bool      `json:"over"`
	Away  float64   `json:"away_seconds"` // so far, if it isn't over
	Cause string    `json:"cause"`
}

// LinkState is how a link fares.
type LinkState struct {
	Remote string    `json:"remote"` // the relay's address
	Server string    `json:"server"` // its SSH version string
	Since  time.Time `json:"since"`
	Doubt  bool      `json:"doubt"`     // it may be dead
	RTT    float64   `json:"rtt_ms"`    // the path's; 0 if it isn't known
	Answer float64   `json:"answer_ms"` // what the relay's last answer took; 0 if it wasn't asked
}

// LanesState is how the lanes fare.
type LanesState struct {
	Want int         `json:"want"` // kept up at once
	Up   []LaneState `json:"up"`
}

// LaneState is how a lane fares.
type LaneState struct {
	Slot  int       `json:"slot"`
	Since time.Time `json:"since"`
	RTT   float64   `json:"rtt_ms"` // 0 if it isn't known
}

// ForwardState is where a forward stands.
type ForwardState struct {
	Network string `json:"network"` // "tcp" or "udp"
	Listen  string `json:"listen"`  // as it is asked for
	Target  string `json:"target"`
	Public  string `json:"public"` // where clients reach it; empty if it isn't up
	Refused string `json:"refused"`
	Waits   string `json:"waits"` // why there is no answer, if the TCP forwards have theirs
	Final   bool   `json:"final"` // it won't be asked for again
}

// State is how the agent fares now. It may be called at any time.
func (a *Agent) State() State {
	state := State{
		PID: os.Getpid(), Version: a.config.Version, Relay: a.config.Address, User: a.config.User,
		Started: a.started, Running: time.Since(a.started).Seconds(),
		Forwards: a.forwardStates(), TCPConns: a.conns.Count(), Drops: make(map[string]uint64),
	}
	a.uptime.tell(&state)
	if l := a.tcpUplink(); l != nil {
		state.Link = l
	}
	if group := a.group.Load(); group != nil {
		udp := group.State()
		state.UDPFlows = udp.Flows
		state.Lanes = &LanesState{Want: udp.Want, Up: []LaneState{}}
		for _, lane := range udp.Lanes {
			state.Lanes.Up = append(state.Lanes.Up, LaneState{Slot: lane.Slot, Since: lane.Since, RTT: millis(lane.RTT)})
		}
		for i, n := range udp.Drops {
			if n > 0 {
				state.Drops[obs.Drop(i).String()] = n // #nosec G115 -- one of a few reasons
			}
		}
	}
	return state
}

func (a *Agent) forwardStates() []ForwardState {
	states := make([]ForwardState, len(a.config.Forwards))
	for i, status := range a.board.now() {
		f := status.Forward
		states[i] = ForwardState{
			Network: string(f.Network), Listen: f.Listen(), Target: f.Target(),
			Public: status.Public, Final: status.Final,
		}
		switch {
		case status.Err != nil && status.Waits:
			states[i].Waits = oneLine(status.Err)
		case status.Err != nil:
			states[i].Refused = oneLine(status.Err)
		}
	}
	return states
}

// tcpUplink is the link of the TCP forwards, nil if there is none.
func (a *Agent) tcpUplink() *LinkState {
	if len(a.tcp) == 0 {
		return nil
	}
	up, since := a.uptime.newest()
	l, ok := up.(*link)
	if !ok {
		return nil
	}
	_, doubt := l.doubtedSince()
	return &LinkState{
		Remote: l.RemoteAddr().String(), Server: printable(string(l.ServerVersion())), Since: since,
		Doubt: doubt, RTT: millis(l.rtt()), Answer: millis(l.vigil.RTT()),
	}
}

// tell fills in what is known of the time up.
func (u *uptime) tell(state *State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	state.Connected = len(u.links) > 0 && !u.away
	state.Since, state.For = u.since, time.Since(u.since).Seconds()
	state.Reconnects = u.count
	state.Outages = []Outage{}
	for _, o := range u.outages {
		one := Outage{Began: o.began, Over: !o.ended.IsZero(), Cause: printable(o.cause.Error())}
		if one.Over {
			one.Away = o.ended.Sub(o.began).Seconds()
		} else {
			one.Away = time.Since(o.began).Seconds()
		}
		state.Outages = append(state.Outages, one)
	}
}

// newest is the link that came last, and when; nil if there is none.
func (u *uptime) newest() (newest uplink, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l, at := range u.links {
		if newest == nil || at.After(since) {
			newest, since = l, at
		}
	}
	return newest, since
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
