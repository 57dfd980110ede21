//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

// TestRandomFaults has faults happen at random while players play and streams
// stream, checks every byte and every datagram, and at the end what is left of
// it in the programs.
func TestRandomFaults(t *testing.T) {
	total, seed := chaosTime(t), chaosSeed(t)
	figures.add(t, 5, "random faults: time, seed", fmt.Sprintf("%v, FUNNEL_CHAOS_SEED=%d", total, seed))
	idle := sized(5*time.Second, 20*time.Second)
	w := newWorld(t, func(w *world) {
		// So that what is left of flows and links is gone soon.
		w.agentFlags = []string{"--udp-idle", idle.String()}
		w.relayFlags = slices.Clone(w.agentFlags)
		if !full {
			w.relayFlags = append(w.relayFlags, "--keepalive-interval", "2s")
			// What an agent keeps for a relay that was killed.
			w.agentFlags = append(w.agentFlags, "--tcp-resume", "10s")
		}
	})
	relayFresh, agentFresh := w.settled()

	var players []*player
	for id := range byte(5) {
		players = append(players, w.startPlayer(id))
	}
	d, tr := new(disturbances), new(traffic)
	ctx, stop := context.WithCancel(context.Background())
	var streams sync.WaitGroup
	for number, draw := range []func(*rand.Rand) plan{endless, endless, endless, requests, requests, bursts} {
		streams.Go(func() { w.keepStream(ctx, uint64(number), draw, d, tr) })
	}
	t.Cleanup(func() { stop(); streams.Wait() })

	f := &fate{w: w, random: rand.New(rand.NewPCG(seed, 3)), disturbances: d, counts: make(map[fault]int)}
	f.run(makeSchedule(seed, total))

	// All is well again: everybody has an answer, and every byte comes.
	for _, p := range players {
		w.answered(&p.progress)
	}
	stop()
	streams.Wait()
	var sent, replies uint64
	var silence, unfair time.Duration
	for _, p := range players {
		p.stop()
		sent, replies = sent+p.sent, replies+p.replies
		silence, unfair = max(silence, p.longest), max(unfair, p.unfair)
	}
	figures.add(t, 5, "random faults: how many", f.String())
	figures.add(t, 5, "random faults: streams", tr.String())
	figures.add(t, 5, "random faults: datagrams answered", fmt.Sprintf("%d of %d", replies, sent))
	figures.add(t, 5, "random faults: longest pause of a stream, a player", seconds(tr.longest)+", "+seconds(silence))
	figures.add(t, 5, "random faults: of which there was no fault any more", seconds(tr.unfair)+", "+seconds(unfair))
	figures.add(t, 5, "random faults: lines in the log since the last start, relay, agent",
		fmt.Sprintf("%d, %d", strings.Count(w.relay.said(), "\n"), strings.Count(w.agent.said(), "\n")))
	figures.add(t, 5, "random faults: violations", fmt.Sprint(w.wrong.count))
	w.requireQuiet(relayFresh, agentFresh, idle)
}

// fate is what befalls the funnel of a world.
type fate struct {
	w            *world
	random       *rand.Rand
	disturbances *disturbances
	counts       map[fault]int

	cuts, losses int
	relayDown    bool
	agentDown    bool
	starving     map[*process]*disturbance
	killed       *disturbance // until the funnel is up again
	upBefore     int          // what the agent had said of that before
	limit        map[*process]unix.Rlimit
}

// run has all events happen at their times, and waits until the funnel is up.
func (f *fate) run(events []event) {
	f.starving, f.limit = make(map[*process]*disturbance), make(map[*process]unix.Rlimit)
	begun := time.Now()
	for _, e := range events {
		for wait := e.at - time.Since(begun); wait > 0; wait = e.at - time.Since(begun) {
			time.Sleep(min(wait, 20*time.Millisecond))
			f.look()
		}
		f.look()
		verb := "ends"
		if e.begin {
			verb = "begins"
		}
		f.w.note(fmt.Sprintf("%s %s", e.fault, verb))
		if e.begin {
			f.counts[e.fault]++
			f.begin(e.step)
		} else {
			f.end(e.step)
		}
		switch {
		case e.lasts == 0:
			f.w.faulty.add(0)
		case e.begin:
			f.w.faulty.add(1)
		default:
			f.w.faulty.add(-1)
		}
	}
	deadline := time.Now().Add(patience)
	for f.look(); f.killed != nil; f.look() {
		require.False(f.w.t, time.Now().After(deadline), "the funnel isn't up again after the last kill")
		time.Sleep(20 * time.Millisecond)
	}
}

// look ends the disturbance of a kill once the agent has said that it is up, and
// the port takes connections: what the agent says may be of a link to the relay of
// before, whose death can't get through to it.
func (f *fate) look() {
	if f.killed != nil && !f.relayDown && !f.agentDown && saidUp(f.w.agent) > f.upBefore && f.w.takesClients() {
		f.disturbances.end(f.killed)
		f.killed = nil
	}
	require.False(f.w.t, !f.agentDown && f.w.agent.hasEnded(), "the agent has ended by itself")
	require.False(f.w.t, !f.relayDown && f.w.relay.hasEnded(), "the relay has ended by itself")
}

func (f *fate) begin(s step) {
	link := f.w.three.HomeLink
	switch s.fault {
	case cutLink:
		f.cuts++
		link.Cut()
	case loseBursts:
		f.losses++
		bad := line
		bad.Loss = f.random.Float64() * 0.1
		bad.Outage = wan.Outage{Share: 0.05 + f.random.Float64()*0.4, Mean: time.Duration(20+f.random.IntN(300)) * time.Millisecond}
		require.NoError(f.w.t, link.SetBoth(bad))
	case freezePath:
		link.Forget()
	case newAddress:
		if _, err := link.Rebind(f.w.three.Home); err != nil {
			f.counts[s.fault]-- // no address is left
		}
	case stopAgent:
		// All of the process's clocks jump, as after a machine's sleep.
		f.w.agent.signal(syscall.SIGSTOP)
	case stopRelay:
		f.w.relay.signal(syscall.SIGSTOP)
	case jumpAgent:
		f.jump(f.w.agentClock)
	case jumpRelay:
		f.jump(f.w.relayClock)
	case starveAgent:
		f.starve(f.w.agent)
	case starveRelay:
		f.starve(f.w.relay)
	case killAgent:
		f.kill(&f.agentDown, f.w.agent)
	case killRelay:
		if !f.relayDown && !f.agentDown {
			f.upBefore = saidUp(f.w.agent)
		}
		f.kill(&f.relayDown, f.w.relay)
	}
}

func (f *fate) end(s step) {
	link := f.w.three.HomeLink
	switch s.fault {
	case cutLink:
		if f.cuts--; f.cuts == 0 {
			link.Restore()
		}
	case loseBursts:
		if f.losses--; f.losses == 0 {
			require.NoError(f.w.t, link.SetBoth(line))
		}
	case stopAgent:
		f.w.agent.signal(syscall.SIGCONT)
	case stopRelay:
		f.w.relay.signal(syscall.SIGCONT)
	case starveAgent:
		f.feed(f.w.agent)
	case starveRelay:
		f.feed(f.w.relay)
	case killAgent:
		if f.agentDown {
			f.w.startAgent()
			f.agentDown, f.upBefore = false, 0
		}
	case killRelay:
		if f.relayDown {
			f.w.startRelay()
			f.relayDown = false
		}
	}
}

// kill kills a program, if it runs.
func (f *fate) kill(down *bool, p *process) {
	if *down {
		return
	}
	*down = true
	relay := p == f.w.relay
	if f.killed == nil || relay && !f.killed.relay {
		// The one before is part of this one.
		before := f.killed
		f.killed = f.disturbances.begin(disturbance{relay: relay})
		if before != nil {
			f.disturbances.end(before)
		}
	}
	p.kill()
	f.feed(p)
}

// jump sets a clock: by milliseconds, by years, or right.
func (f *fate) jump(clock *wallClock) {
	const most = 50 * 365 * 24 * time.Hour
	if f.random.IntN(4) == 0 {
		clock.set(0)
		return
	}
	off := time.Duration(math.Exp(f.random.Float64() * math.Log(float64(most))))
	if f.random.IntN(2) == 0 {
		off = -off
	}
	clock.set(off)
}

// starve leaves a process no descriptor beyond those it has: RLIMIT_NOFILE,
// setrlimit(2).
func (f *fate) starve(p *process) {
	if p.hasEnded() || f.starving[p] != nil {
		return
	}
	var before unix.Rlimit
	if unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &before) != nil {
		return
	}
	f.starving[p], f.limit[p] = f.disturbances.begin(disturbance{opening: true, relay: p == f.w.relay}), before
	few := unix.Rlimit{Cur: uint64(p.footprint().files), Max: before.Max}
	require.NoError(f.w.t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &few, nil))
}

// feed ends that.
func (f *fate) feed(p *process) {
	one := f.starving[p]
	if one == nil {
		return
	}
	delete(f.starving, p)
	f.disturbances.end(one)
	if !p.hasEnded() {
		limit := f.limit[p]
		require.NoError(f.w.t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil))
	}
}

func (f *fate) String() string {
	var texts []string
	for _, kind := range faults {
		text := fmt.Sprintf("%s %d", kind, f.counts[kind])
		if len(texts) == 0 || texts[len(texts)-1] != text {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", ")
}

// settled waits until both programs hold the same for a while, and returns what.
func (w *world) settled() (relay, agent footprint) {
	relay, agent = w.relay.footprint(), w.agent.footprint()
	for same, deadline := 0, time.Now().Add(patience); same < 10 && time.Now().Before(deadline); same++ {
		time.Sleep(100 * time.Millisecond)
		r, a := w.relay.footprint(), w.agent.footprint()
		if r.files != relay.files || a.files != agent.files {
			same = 0
		}
		relay, agent = r, a
	}
	return relay, agent
}

// requireQuiet wants both programs to hold no more than when they were fresh,
// once flows have had the time to end.
func (w *world) requireQuiet(relayFresh, agentFresh footprint, idle time.Duration) {
	// A link that is being replaced, a timer, a pipe of the runtime's.
	const more = 4
	deadline := time.Now().Add(2*idle + patience)
	for {
		relay, agent := w.relay.footprint(), w.agent.footprint()
		if relay.files <= relayFresh.files && agent.files <= agentFresh.files || time.Now().After(deadline) {
			figures.add(w.t, 5, "random faults: relay fresh, at the end", relayFresh.String()+"; "+relay.String())
			figures.add(w.t, 5, "random faults: agent fresh, at the end", agentFresh.String()+"; "+agent.String())
			require.LessOrEqual(w.t, relay.files, relayFresh.files+more, "descriptors of the relay")
			require.LessOrEqual(w.t, agent.files, agentFresh.files+more, "descriptors of the agent")
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !raceEnabled {
		w.requireMemoryBack(relayFresh, agentFresh)
	}
	w.settled()
	relayEnd, agentEnd := w.goroutines()
	w.startRelay()
	w.startAgent()
	w.agent.expect(`(?m)^funnel is up: `)
	w.settled()
	relayStart, agentStart := w.goroutines()
	figures.add(w.t, 5, "random faults: goroutines of relay, agent, fresh and at the end",
		fmt.Sprintf("%d and %d; %d and %d", relayStart, relayEnd, agentStart, agentEnd))
	require.Positive(w.t, relayStart)
	require.LessOrEqual(w.t, relayEnd, relayStart+4*more, "goroutines of the relay")
	require.LessOrEqual(w.t, agentEnd, agentStart+4*more, "goroutines of the agent")
}

// requireMemoryBack wants both programs to have given back the memory that they
// took. The short form has no time for that, and wants no more than the busy have.
func (w *world) requireMemoryBack(relayFresh, agentFresh footprint) {
	// Code that a fresh program hasn't run yet, tables that have grown.
	const more = 8 << 20
	const busy = 64 << 20
	begun := time.Now()
	relay, agent := w.relay.footprint(), w.agent.footprint()
	back := func() bool { return relay.memory < relayFresh.memory+more && agent.memory < agentFresh.memory+more }
	for full && !back() && time.Since(begun) < memoryPatience {
		time.Sleep(100 * time.Millisecond)
		relay, agent = w.relay.footprint(), w.agent.footprint()
	}
	figures.add(w.t, 5, "random faults: memory of relay, agent when idle for "+seconds(time.Since(begun)),
		fmt.Sprintf("%.1f, %.1f MB", float64(relay.memory)/1e6, float64(agent.memory)/1e6))
	allowed := int64(sized(busy, more))
	require.Less(w.t, relay.memory, relayFresh.memory+allowed, "memory of the relay")
	require.Less(w.t, agent.memory, agentFresh.memory+allowed, "memory of the agent")
}

// goroutines ends both programs and returns how many each had.
func (w *world) goroutines() (relay, agent int) {
	// So that neither sees the other's end.
	w.three.HomeLink.Cut()
	defer w.three.HomeLink.Restore()
	return w.relay.goroutines(), w.agent.goroutines()
}
