//go:build linux

package chaos

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledRelay: the relay is killed and started again on its port.
func TestKilledRelay(t *testing.T) {
	w := newWorld(t, nil)
	p := w.startPlayer(1)
	pr := w.startProber()
	var udp, tcp []time.Duration
	defer func() {
		figures.times(t, 4, "relay killed: UDP answers after it listens again", udp, 0, 2*time.Second)
		figures.times(t, 4, "relay killed: a new TCP connection is answered after it listens again", tcp, 0, 2*time.Second)
	}()
	for range sized(2, 10) {
		w.answered(&p.progress)
		pr.servesAfter(time.Now())
		w.relay.kill()
		time.Sleep(300 * time.Millisecond)
		w.startRelay()
		waits, begun := p.next(), time.Now()
		udp = append(udp, w.took(&p.progress, waits, begun))
		tcp = append(tcp, max(pr.servesAfter(begun).Sub(begun), 0))
	}
	pr.finish()
}

// fleetPort is the public port of the first agent of a fleet.
const fleetPort = 30000

// TestKilledRelayOfManyAgents: the same, with a fleet of agents.
func TestKilledRelayOfManyAgents(t *testing.T) {
	w := newWorld(t, func(w *world) {
		// They all come from one address here, and from two hundred elsewhere.
		w.relayFlags = []string{"--per-source-max-startups", "1000", "--per-source-rate", "0", "--max-startups", "1000:30:2000"}
	})
	size := sized(20, 200)
	w.startFleet(size)
	w.fleetServes(size)
	var took []time.Duration
	for range sized(1, 3) {
		w.relay.kill()
		time.Sleep(300 * time.Millisecond)
		w.startRelay()
		begun := time.Now()
		took = append(took, w.fleetServes(size).Sub(begun))
	}
	figures.times(t, 4, fmt.Sprintf("relay killed: all of %d agents serve after it listens again", size), took, 0, 5*time.Second)
}

// fleetServes waits until each agent of a fleet serves, and returns when the
// last one does.
func (w *world) fleetServes(size int) (last time.Time) {
	w.t.Helper()
	var mu sync.Mutex
	var tasks sync.WaitGroup
	var failed error
	for i := range size {
		tasks.Go(func() {
			at, err := w.firstAnswer(uint16(fleetPort + i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			}
			if at.After(last) {
				last = at
			}
		})
	}
	tasks.Wait()
	require.NoError(w.t, failed)
	return last
}

// firstAnswer asks at a public port of the echo server until it answers.
func (w *world) firstAnswer(port uint16) (time.Time, error) {
	ask := func() error {
		conn, err := w.three.Player.DialContext(w.t.Context(), "tcp4", w.public(port))
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		_, err = io.ReadFull(conn, make([]byte, 1))
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := ask()
		if err == nil {
			return time.Now(), nil
		}
		if time.Now().After(deadline) {
			return time.Time{}, fmt.Errorf("port %s isn't served: %w", net.JoinHostPort("", fmt.Sprint(port)), err)
		}
	}
}
