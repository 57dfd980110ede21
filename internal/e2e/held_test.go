//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// full says whether tests of load run as make hostile has them, or briefly.
func full() bool { return os.Getenv("FUNNEL_HOSTILE") == "1" }

// TestHeldAtOnce holds connections and flows on one relay, all at the same time,
// and prints what each costs the relay and the agents. Each echoes something of
// its own, once when it comes and again when all are there.
func TestHeldAtOnce(t *testing.T) {
	conns, flows := 1_000, 2_000
	if full() {
		conns, flows = 10_000, 20_000
	}
	// One agent is enough where a process may have a descriptor for each conn
	// and flow.
	const others = 500
	limit := int(raiseDescriptors(t, uint64(conns+flows+others)))
	agents := (conns + flows + limit - others - 1) / (limit - others)
	if limit < conns+others {
		lack(t, "a process may have %d descriptors, too few for %d connections", limit, conns)
	}
	_, port := startRole(t, 0, "echoes")
	r := startRelay(t)
	h := &held{t: t, relay: r}
	for range agents {
		// A port takes 1,000 flows at once, and 500 a second more.
		args := []string{"--tcp", "0:127.0.0.1:" + port}
		ports := (flows/agents + 999) / 1_000
		for range ports {
			args = append(args, "--udp", "0:127.0.0.1:"+port)
		}
		a := r.startAgent(t, args...)
		tcp, udp := a.exposed()
		require.Len(t, tcp, 1)
		require.Len(t, udp, ports)
		h.agents = append(h.agents, a)
		h.tcp, h.udp = append(h.tcp, tcp...), append(h.udp, udp...)
	}

	before := h.memory()
	h.connect(conns)
	withConns := h.memory()
	h.flow(flows)
	withFlows := h.memory()
	for i, conn := range h.conns {
		require.NoError(t, tryEcho(conn, fmt.Sprintf("conn %d again", i)))
	}
	h.speakAgain()

	t.Logf("one relay and %d agent(s)   relay, total   agents, total   relay, each   agents, each", agents)
	h.report("at rest", 0, before, before)
	h.report(fmt.Sprintf("%d connections", conns), conns, before, withConns)
	h.report(fmt.Sprintf("and %d flows", flows), flows, withConns, withFlows)
	if full() { // of fewer, what the garbage collector leaves says as much
		require.Less(t, withConns.relay-before.relay, int64(conns)*maxConnMemory)
		require.Less(t, withFlows.relay-withConns.relay, int64(flows)*maxFlowMemory)
	}
}

// maxConnMemory and maxFlowMemory are what a conn and a flow may cost the relay,
// in bytes: well above what they do.
const (
	maxConnMemory = 64 << 10
	maxFlowMemory = 8 << 10
)

// held is what a test holds on a relay.
type held struct {
	t        *testing.T
	relay    *relay
	agents   []*agent
	tcp, udp []string // public addresses
	conns    []net.Conn
	crowds   []*players
}

// exposed is the public addresses of an agent's forwards, of which all have the
// same target.
func (a *agent) exposed() (tcp, udp []string) {
	for line := range strings.Lines(a.said()) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[2] != "->" {
			continue
		}
		_, port, err := net.SplitHostPort(fields[1])
		require.NoError(a.t, err)
		public := net.JoinHostPort("127.0.0.1", port)
		switch fields[0] {
		case "tcp":
			tcp = append(tcp, public)
		case "udp":
			udp = append(udp, public)
		}
	}
	return tcp, udp
}

// usage is memory in bytes.
type usage struct{ relay, agents int64 }

// memory is what the programs have in memory: the kernel's buffers are apart.
func (h *held) memory() (u usage) {
	u.relay = h.relay.resident()
	for _, a := range h.agents {
		u.agents += a.resident()
	}
	return u
}

func (h *held) report(what string, count int, before, after usage) {
	each := func(before, after int64) string {
		if count == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f KiB", float64(after-before)/1024/float64(count))
	}
	h.t.Logf("%-26s %9.1f MiB   %9.1f MiB %13s %14s", what, float64(after.relay)/(1<<20), float64(after.agents)/(1<<20),
		each(before.relay, after.relay), each(before.agents, after.agents))
}

// connect opens connections, spread over the agents.
func (h *held) connect(count int) {
	h.t.Helper()
	h.conns = make([]net.Conn, count)
	failed := make([]error, count)
	var dialling sync.WaitGroup
	const workers = 32
	for worker := range workers {
		dialling.Go(func() {
			for i := worker; i < count; i += workers {
				h.conns[i], failed[i] = net.DialTimeout("tcp", h.tcp[i%len(h.tcp)], patience)
				if failed[i] == nil {
					failed[i] = tryEcho(h.conns[i], fmt.Sprintf("conn %d", i))
				}
			}
		})
	}
	dialling.Wait()
	h.t.Cleanup(func() {
		for _, conn := range h.conns {
			if conn != nil {
				conn.Close()
			}
		}
	})
	for i, err := range failed {
		require.NoErrorf(h.t, err, "connection %d of %d", i, count)
	}
}

// flow begins flows, spread over the ports.
func (h *held) flow(count int) {
	h.t.Helper()
	for i, address := range h.udp {
		size := count / len(h.udp)
		if i == 0 {
			size += count % len(h.udp)
		}
		p, err := gather(netip.MustParseAddrPort(address), byte(64+8*i), size)
		require.NoError(h.t, err)
		h.t.Cleanup(p.end)
		h.crowds = append(h.crowds, p)
	}
	for _, p := range h.crowds {
		require.NoError(h.t, p.ask("first"))
	}
}

// speakAgain wants each flow to be there, and to be the one that it was: the
// target sees it come from the same address as before.
func (h *held) speakAgain() {
	h.t.Helper()
	for _, p := range h.crowds {
		before := p.views()
		require.NoError(h.t, p.ask("again"))
		require.Equal(h.t, before, p.views())
	}
}

// players are a crowd each of whom has a flow of his own.
type players struct {
	*crowd
	block byte
	count int
	heard sync.WaitGroup

	mu       sync.Mutex
	word     string
	seen     map[netip.Addr]string // by player: how the target sees him; all guarded by mu
	answered map[netip.Addr]bool
	wrong    error
}

func gather(to netip.AddrPort, block byte, count int) (*players, error) {
	c, err := openCrowd(to)
	if err != nil {
		return nil, err
	}
	p := &players{crowd: c, block: block, count: count}
	p.heard.Go(func() { _ = c.hear(p.hears) }) // until end
	return p, nil
}

func (p *players) end() {
	p.close()
	p.heard.Wait()
}

// says is what a player says, and nobody else.
func (p *players) says(player netip.Addr) string { return "?" + player.String() + " " + p.word }

func (p *players) hears(player netip.Addr, answer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	said, from, _ := strings.Cut(string(answer), "|")
	if !strings.HasPrefix(said, "?"+player.String()+" ") {
		p.wrong = fmt.Errorf("%s got %q", player, answer)
	}
	if said == p.says(player) {
		p.answered[player] = true
		p.seen[player] = from
	}
}

// views is how the target sees each player. Answers may come still, to what was
// asked twice.
func (p *players) views() map[netip.Addr]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

// ask has every player say something until he is answered.
func (p *players) ask(word string) error {
	p.mu.Lock()
	p.word, p.answered, p.seen = word, make(map[netip.Addr]bool), make(map[netip.Addr]string)
	p.mu.Unlock()
	for deadline := time.Now().Add(2 * patience); ; {
		missing := p.missing()
		if len(missing) == 0 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.wrong
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d flows have no answer", len(missing), p.count)
		}
		// Not more at once than a socket's buffer holds by default.
		for _, player := range missing[:min(len(missing), crowdBatch)] {
			p.say(player, []byte(p.says(player)))
		}
		if _, err := p.flush(); err != nil {
			return err
		}
		p.wait(missing[min(len(missing), crowdBatch)-1])
	}
}

// wait waits for a player's answer, or until it is likely lost.
func (p *players) wait(player netip.Addr) {
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		p.mu.Lock()
		answered := p.answered[player]
		p.mu.Unlock()
		if answered {
			return
		}
	}
}

func (p *players) missing() (all []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.count {
		if player := member(p.block, i); !p.answered[player] {
			all = append(all, player)
		}
	}
	return all
}
