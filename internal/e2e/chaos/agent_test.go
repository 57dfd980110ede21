//go:build linux

package chaos

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledAgent: the agent is killed and started again, and again, while
// clients connect all the time.
func TestKilledAgent(t *testing.T) {
	w := newWorld(t, nil)
	p := w.startPlayer(1)
	w.answered(&p.progress)
	pr := w.startProber()
	pr.servesAfter(time.Now())

	var kills []time.Time
	var udp, tcp []time.Duration
	for i := range sized(2, 10) {
		w.answered(&p.progress)
		pr.servesAfter(time.Now())
		kills = append(kills, time.Now())
		w.agent.kill()
		if i%2 == 1 {
			time.Sleep(2 * time.Second)
		}
		waits, begun := p.next(), time.Now()
		w.startAgent()
		udp = append(udp, w.took(&p.progress, waits, begun))
		tcp = append(tcp, max(pr.servesAfter(begun).Sub(begun), 0))
	}
	w.answered(&p.progress)
	figures.times(t, 3, "agent killed and restarted: UDP answers after the start", udp, 0, 0)
	figures.times(t, 3, "agent killed and restarted: a new TCP connection is answered after the start", tcp, 0, 0)

	// Whoever connects to a port that isn't served must not see that for more
	// than a second.
	const atMost = time.Second
	var connect, answer []time.Duration
	refused, lost, late := 0, 0, 0
	var reason error
	for _, probe := range pr.finish() {
		switch {
		case probe.refused != nil:
			refused++
			reason = probe.refused
		case probe.lost == nil:
			connect, answer = append(connect, probe.connected), append(answer, probe.answered)
		default:
			lost++
			excused := false
			for _, kill := range kills {
				// It may have been under way when the agent was killed: for longer than
				// is promised, on a busy machine.
				underWay := probe.begun.Sub(kill)
				longer := !full && probe.begun.Add(probe.gone).After(kill)
				if underWay < atMost && (underWay > -atMost || longer) {
					excused = true
				}
			}
			if !excused {
				late++
				reason = probe.lost
			}
		}
	}
	figures.times(t, 3, "agent killed and restarted: clients connect after", connect, 0, atMost)
	figures.times(t, 3, "agent killed and restarted: clients are answered after", answer, 0, 0)
	figures.add(t, 3, "agent killed and restarted: connections refused, reset around a kill, and at other times",
		fmt.Sprintf("%d, %d and %d of %d", refused, lost-late, late, refused+lost+len(connect)))
	require.Zero(t, refused, "connections refused: %v", reason)
	require.Zero(t, late, "connections lost: %v", reason)
}

// TestFrozenAgent: the agent is stopped, as on a machine that hangs, and a
// second one is started in its place. When the first wakes, it leaves.
func TestFrozenAgent(t *testing.T) {
	w := newWorld(t, nil)
	p := w.startPlayer(1)
	w.answered(&p.progress)
	pr := w.startProber()

	var udp, tcp, left []time.Duration
	defer func() {
		figures.times(t, 3, "agent frozen and a second one started: UDP answers after", udp, 0, time.Second)
		figures.times(t, 3, "agent frozen and a second one started: a new TCP connection is answered after", tcp, 0, time.Second)
		figures.times(t, 3, "frozen agent wakes: it has left after", left, 0, 0)
	}()
	for range sized(1, 5) {
		pr.servesAfter(time.Now())
		first := w.agent
		first.signal(syscall.SIGSTOP)
		time.Sleep(time.Second)
		waits, begun := p.next(), time.Now()
		w.startAgent()
		udp = append(udp, w.took(&p.progress, waits, begun))
		tcp = append(tcp, max(pr.servesAfter(begun).Sub(begun), 0))

		woken := time.Now()
		first.signal(syscall.SIGCONT)
		select {
		case <-first.ended:
			left = append(left, time.Since(woken))
		case <-time.After(patience):
			require.Fail(t, "waited in vain", "the first agent doesn't leave; it says %s", first.said())
		}
		require.NotZero(t, first.cmd.ProcessState.ExitCode(), "it was not asked to end")
		// The second goes on as if nothing had been.
		for range 10 {
			w.answered(&p.progress)
			pr.servesAfter(time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		require.False(t, w.agent.hasEnded(), "the second agent has ended")
	}
	pr.finish()
}
