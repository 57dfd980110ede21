// Package session is the relay's half of UDP over SSH. A [Session] is an
// agent's presence at the relay: its public sockets ("bindings") and its
// flows. It outlives any one of the lanes that serve it.
package session

import (
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"funnel/internal/access"
	"funnel/internal/limit"
	"funnel/internal/tcpio"
	"funnel/proto"
)

// Grant is what an agent's key allows; see access.Grant.
type Grant interface {
	// Bind calls try with an address the key may bind, for port 0 with such
	// candidates until one succeeds, and returns the port bound.
	Bind(network, host string, port uint16, try func(host string, port uint16) (uint16, error)) (uint16, error)
}

// Peer is the authenticated agent at the other end of a lane.
type Peer struct {
	Fingerprint string        // of its key: lanes join only sessions of the same one
	Name        string        // of its key, for logs
	Remote      string        // its address, for logs
	Arrival     uint64        // higher than that of connections that came before
	Grant       Grant         // what it may bind
	Lease       *access.Lease // what it may use, and may lose; nil is no limit
	Socket      *tcpio.Socket // the lane's TCP connection, may be nil
	Close       func() error  // ends the connection, where to close the channel isn't enough; may be nil
	Log         *slog.Logger
}

// Config is what a Registry needs to know. Zero values mean the defaults.
type Config struct {
	Idle     time.Duration // after which a flow ends
	MaxFlows int           // of a session
	MaxDelay time.Duration // after which a waiting datagram is dropped
	Copies   int           // of each datagram on different lanes; 0 lets the session choose
	Grace    time.Duration // how long a session without lanes keeps its ports
	Log      *slog.Logger

	Networks    *access.Networks // of clients that may come; nil means all
	AllFlows    *limit.Counter   // of the relay; nil has no end, as below
	AllForwards *limit.Counter   // likewise, TCP's included
}

// Registry holds the sessions of a relay.
type Registry struct {
	config    Config
	newcomers *limit.Buckets // flows begun, by the client's network

	mu       sync.Mutex
	sessions map[proto.Token]*Session
	perKey   map[string]int // sessions by fingerprint
	closed   bool
}

// NewRegistry makes an empty registry.
func NewRegistry(config Config) *Registry {
	return &Registry{
		config:    config.withDefaults(),
		newcomers: limit.NewBuckets(newcomerNetworks, newcomersPerNetwork, newcomersPerNetwork*newcomerBurst),
		sessions:  make(map[proto.Token]*Session),
		perKey:    make(map[string]int),
	}
}

// join finds the session the agent asks for, or makes one.
func (r *Registry) join(hello proto.Hello, peer Peer) (*Session, error) {
	token := hello.Session
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, &proto.Error{Code: proto.CodeClosing, Text: "the relay is shutting down"}
	}
	if token != (proto.Token{}) {
		s := r.sessions[token]
		if s == nil || s.fingerprint != peer.Fingerprint {
			return nil, &proto.Error{Code: proto.CodeUnknownSession, Text: "the relay doesn't know this session; start a new one"}
		}
		return s, nil
	}
	if r.perKey[peer.Fingerprint] >= maxSessions {
		return nil, &proto.Error{Code: proto.CodeLimit, Text: "this key has too many sessions at the relay"}
	}
	rand.Read(token[:]) // never fails, see crypto/rand
	s := newSession(r, token, hello, peer)
	r.sessions[token] = s
	r.perKey[peer.Fingerprint]++
	return s, nil
}

// forget takes a closed session out.
func (r *Registry) forget(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.token] != s {
		return
	}
	delete(r.sessions, s.token)
	if r.perKey[s.fingerprint]--; r.perKey[s.fingerprint] == 0 {
		delete(r.perKey, s.fingerprint)
	}
}

// Playing reports whether datagrams were sent lately to an agent with this key.
func (r *Registry) Playing(fingerprint string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if s.fingerprint == fingerprint && s.set.Playing() {
			return true
		}
	}
	return false
}

// before is a session that holds port and has to give it up to s, or nil: one of
// the same agent, started earlier, or one of the same key while its agent is away.
// An error says that s is the earlier one of the same agent.
func (r *Registry) before(s *Session, port uint16) (*Session, error) {
	for _, other := range r.all() {
		if other == s || other.fingerprint != s.fingerprint || !other.has(port) {
			continue
		}
		same := other.agent == s.agent && s.agent != [proto.AgentSize]byte{}
		switch {
		case same && other.generation > s.generation:
			return nil, errOutlived
		case same && other.generation < s.generation, other.away():
			return other, nil
		}
	}
	return nil, nil
}

// errOutlived refuses a port to an agent that another run of it has replaced.
var errOutlived = &proto.Error{Code: proto.CodeOutlived, Text: "the same agent, started again later, has it"}

// all is the sessions there are now.
func (r *Registry) all() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.sessions))
}

// Close ends all sessions and returns when their sockets are closed. The lanes
// themselves end with the SSH connections that carry them.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	var ending sync.WaitGroup // together: an agent that doesn't read takes its time
	for _, s := range r.all() {
		ending.Go(func() { s.close("the relay is shutting down") })
	}
	ending.Wait()
}

func (c Config) withDefaults() Config {
	if c.Idle <= 0 {
		c.Idle = DefaultIdle
	}
	if c.MaxFlows <= 0 {
		c.MaxFlows = DefaultMaxFlows
	}
	if c.MaxDelay <= 0 {
		c.MaxDelay = defaultMaxDelay
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
