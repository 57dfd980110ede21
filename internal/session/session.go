package session

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"funnel/internal/access"
	"funnel/internal/flow"
	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/proto"
)

const defaultMaxDelay = lane.DefaultMaxDelay

// Session is one agent's presence at the relay. A lock order: registry before
// session; never the other way round.
type Session struct {
	// Fixed after newSession.
	registry    *Registry
	token       proto.Token
	fingerprint string
	agent       [proto.AgentSize]byte // zero: unknown
	generation  uint64
	log         *slog.Logger
	config      Config
	set         *lane.Set
	readers     sync.WaitGroup // the goroutines that read public sockets

	drops   obs.Drops
	refused obs.Throttle // bindings

	binds sync.Mutex // held while a socket is opened: the same forward may be asked for on two lanes

	mu       sync.Mutex
	slots    [lane.MaxSlots]*attachment // guarded by mu, as all below
	lease    *access.Lease              // of the last lane that came; nil is no limit
	grant    *access.Grant              // what the bindings were last held against
	lanes    int
	bindings map[uint32]*binding
	flows    *flow.Table[*conversation]
	nextFlow uint32
	sweeping bool        // sweep is due
	sweep    *time.Timer // ends idle flows while there are flows
	grace    *time.Timer // ends the session while there are no lanes
	reported obs.DropCounts
	reportAt time.Duration
	closed   bool
}

// conversation is a flow and where its client is.
type conversation struct {
	*flow.Flow
	binding *binding
	from    origin
	conn    socketRef

	answered bool // the target has spoken; guarded by session.mu
}

func newSession(r *Registry, token proto.Token, hello proto.Hello, peer Peer) *Session {
	s := &Session{
		registry:    r,
		token:       token,
		fingerprint: peer.Fingerprint,
		agent:       hello.Agent,
		generation:  hello.Generation,
		log:         r.config.Log.With("session", fmt.Sprintf("%x", token[:4]), "key", peer.Name),
		config:      r.config,
		bindings:    make(map[uint32]*binding),
		flows:       flow.NewTable[*conversation](r.config.MaxFlows, r.config.Idle),
	}
	s.set = lane.NewSet(&s.drops, r.config.Copies)
	s.sweep = time.AfterFunc(time.Hour, s.sweepFlows)
	s.sweep.Stop()
	s.grace = time.AfterFunc(r.config.Grace, s.expire)
	return s
}

// attach reserves a slot for a lane, and ends the one whose place it takes: that
// has its slot until it is gone.
func (s *Session) attach(a *attachment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &proto.Error{Code: proto.CodeUnknownSession, Text: "the session has just ended; start a new one"}
	}
	lanes := 0
	for _, other := range s.slots {
		switch {
		case other == nil || other.replaced:
		case a.number != 0 && other.number == a.number:
			if a.peer.Arrival < other.peer.Arrival {
				return &proto.Error{Code: proto.CodeLimit, Text: "a newer connection has the place of this lane"}
			}
			other.replaced = true
			other.cancel()
		default:
			lanes++
		}
	}
	for slot := range s.slots {
		if s.slots[slot] != nil || lanes == lane.MaxLanes {
			continue
		}
		s.slots[slot] = a
		a.slot = slot
		s.lanes++
		if lease := a.peer.Lease; lease != nil {
			s.lease = lease
		}
		s.grace.Stop()
		// The slot's last lane may have carried the flows' headers; this one
		// has not.
		s.flows.All(func(e *flow.Entry[*conversation]) { e.Value.Forget(slot) })
		return nil
	}
	return &proto.Error{Code: proto.CodeLimit, Text: fmt.Sprintf("a session has at most %d lanes", lane.MaxLanes)}
}

// detach frees a lane's slot. A session without lanes ends after a grace, or
// at once if it has no ports to keep.
func (s *Session) detach(a *attachment) {
	s.mu.Lock()
	s.slots[a.slot] = nil
	s.lanes--
	keep := len(s.bindings) > 0
	if s.lanes == 0 && !s.closed && keep {
		s.grace.Reset(s.config.Grace)
	}
	s.mu.Unlock()
	if !keep {
		s.closeIfAlone("its last lane ended")
	}
}

// expire ends a session that stayed without lanes.
func (s *Session) expire() { s.closeIfAlone("its agent did not come back") }

// away reports whether s has no lane.
func (s *Session) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes == 0
}

// has reports whether s holds port.
func (s *Session) has(port uint16) bool { return s.holder(port) != nil }

// holder is the binding that holds port, or nil.
func (s *Session) holder(port uint16) *binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bindings {
		if b.port == port {
			return b
		}
	}
	return nil
}

// yield gives a port up to the same agent, started again, and ends the session if
// it has no other and no lane.
func (s *Session) yield(port uint16) {
	b := s.holder(port)
	if b == nil || !s.takeAway(b, proto.CodeOutlived, errOutlived.Text) {
		return
	}
	s.log.Info("binding handed over", "network", "udp", "address", b.sockets[0].LocalAddr().String())
	s.mu.Lock()
	bare := len(s.bindings) == 0
	s.mu.Unlock()
	if bare {
		s.closeIfAlone("its agent started anew")
	}
}

// close ends the session on purpose; see end.
func (s *Session) close(why string) { s.end(proto.CodeClosing, why) }

// end ends the session: its public sockets are closed when it returns, and its
// lanes told to end and why. It may be called twice.
func (s *Session) end(code proto.Code, why string) {
	s.mu.Lock()
	s.endLocked(code, why)
}

// closeIfAlone ends the session unless it has a lane, by now or again.
func (s *Session) closeIfAlone(why string) {
	s.mu.Lock()
	if s.lanes > 0 {
		s.mu.Unlock()
		return
	}
	s.endLocked(proto.CodeClosing, why)
}

// endLocked is end for who has locked the session, which it unlocks.
func (s *Session) endLocked(code proto.Code, why string) {
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.sweep.Stop()
	s.grace.Stop()
	bindings := slices.Collect(maps.Values(s.bindings))
	lanes := s.slots
	for _, b := range bindings {
		s.endFlows(b)
	}
	s.mu.Unlock()

	for _, b := range bindings {
		b.close()
	}
	for _, a := range lanes {
		if a == nil {
			continue
		}
		// The last message: write ends the lane. Time ends it if the agent
		// doesn't read, as a reader of ours may wait in a write to it.
		if a.tell(proto.Close{Code: code, Text: why}) {
			time.AfterFunc(farewell, a.cancel)
		} else {
			a.cancel()
		}
	}
	s.readers.Wait()
	s.registry.forget(s)
	s.log.Info("udp session closed", "cause", why, "lanes", s.set.Counts(), "drops", s.drops.Snapshot())
}

// sweepFlows ends idle flows, and comes again while flows are left.
func (s *Session) sweepFlows() {
	now := lane.Now()
	var gone []uint32
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	for e := s.flows.Expired(now); e != nil; e = s.flows.Expired(now) {
		e.Value.binding.forget(e)
		gone = append(gone, e.ID)
	}
	s.sweeping = s.flows.Len() > 0
	if s.sweeping {
		s.sweep.Reset(s.sweepEvery())
	}
	s.mu.Unlock()
	s.sendGone(gone, proto.GoneIdle)
	s.reportDrops(now)
}

func (s *Session) sweepEvery() time.Duration { return min(s.config.Idle/sweepParts, sweepMost) }

// sendGone tells the agent of flows that ended here.
func (s *Session) sendGone(flows []uint32, reason proto.GoneReason) {
	for _, id := range flows {
		s.set.SendRecord(proto.AppendGone(nil, id, reason))
	}
}

// reportDrops says now and then what was lost since the last time.
func (s *Session) reportDrops(now time.Duration) {
	counts := s.drops.Snapshot()
	s.mu.Lock()
	since := counts.Since(s.reported)
	due := since.Lost() > 0 && now-s.reportAt >= dropReport
	if due {
		s.reported, s.reportAt = counts, now
	}
	s.mu.Unlock()
	if due {
		s.log.Warn("datagrams dropped", "reasons", since)
	}
}
