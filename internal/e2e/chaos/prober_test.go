//go:build linux

package chaos

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// probeEvery is how often a prober connects.
const probeEvery = 50 * time.Millisecond

// probeConnect is how long it waits for that: as long as is promised where that
// is the bound. A busy machine is no refusal.
var probeConnect = sized(patience, time.Second)

// probe is a connection that a prober made.
type probe struct {
	begun     time.Time
	connected time.Duration
	refused   error // it didn't connect
	answered  time.Duration
	lost      error         // it connected, and had no answer
	gone      time.Duration // until lost
}

// prober connects to the public port of the echo server all the time, each time
// anew.
type prober struct {
	w     *world
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu     sync.Mutex
	probes []probe // guarded by mu
}

func (w *world) startProber() *prober {
	ctx, stop := context.WithCancel(context.Background())
	pr := &prober{w: w, stop: stop}
	pr.tasks.Go(func() {
		ticker := time.NewTicker(probeEvery)
		defer ticker.Stop()
		for {
			pr.tasks.Go(func() {
				result := pr.probe()
				pr.mu.Lock()
				defer pr.mu.Unlock()
				pr.probes = append(pr.probes, result)
			})
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	w.t.Cleanup(func() {
		stop()
		pr.tasks.Wait()
	})
	return pr
}

func (pr *prober) probe() probe {
	ctx, cancel := context.WithTimeout(context.Background(), probeConnect)
	defer cancel()
	result := probe{begun: time.Now()}
	conn, err := pr.w.three.Player.DialContext(ctx, "tcp4", pr.w.public(echoPort))
	result.connected = time.Since(result.begun)
	if err != nil {
		result.refused = err
		return result
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte{1}); err != nil {
		result.lost, result.gone = err, time.Since(result.begun)
		return result
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		result.lost, result.gone = err, time.Since(result.begun)
		return result
	}
	result.answered = time.Since(result.begun)
	return result
}

// servesAfter waits for a connection that was made since then to be answered,
// and returns when that was.
func (pr *prober) servesAfter(since time.Time) time.Time {
	pr.w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var first time.Time
		pr.mu.Lock()
		for _, p := range pr.probes {
			if p.refused == nil && p.lost == nil && !p.begun.Before(since) {
				if at := p.begun.Add(p.answered); first.IsZero() || at.Before(first) {
					first = at
				}
			}
		}
		pr.mu.Unlock()
		if !first.IsZero() {
			return first
		}
		require.Falsef(pr.w.t, time.Now().After(deadline), "no new TCP connection is answered within %v", patience)
		time.Sleep(5 * time.Millisecond)
	}
}

// finish stops and returns what all came to.
func (pr *prober) finish() []probe {
	pr.stop()
	pr.tasks.Wait()
	return pr.probes
}
