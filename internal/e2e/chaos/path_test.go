//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFrozenPath: a NAT at home forgets all it knew, so that nothing is
// delivered any more and nothing closed, while new connections work.
func TestFrozenPath(t *testing.T) {
	w := newWorld(t, nil)
	w.lose(t, "path frozen", sized(3, 20), func() { w.three.HomeLink.Forget() })
}

// TestNewAddress: the provider gives home another address, and the old one leads
// nowhere.
func TestNewAddress(t *testing.T) {
	w := newWorld(t, nil)
	w.lose(t, "new address", sized(2, 20), func() {
		_, err := w.three.HomeLink.Rebind(w.three.Home)
		require.NoError(t, err)
	})
}

// lose breaks the path over and over, and measures how soon a player, and a
// connection that was open, have answers again, with a transfer in progress.
func (w *world) lose(t *testing.T, what string, tries int, breakPath func()) {
	p := w.startPlayer(1)
	w.answered(&p.progress)
	stream, finish := w.startStream(1, chat)
	tr := w.startTransfer(order{Rate: 1_000_000, Seed: 1})
	tr.reached(1)

	var udp, tcp []time.Duration
	defer func() {
		figures.times(t, 1, what+": UDP answers again after", udp, 2*time.Second, 4*time.Second)
		figures.times(t, 1, what+": an open TCP connection goes on after", tcp, 2*time.Second, 4*time.Second)
	}()
	for range tries {
		w.answered(&p.progress)
		w.answered(&stream.progress)
		tr.reached(tr.received.Load() + 1)
		// A fault comes at any moment of a probe's period.
		time.Sleep(500*time.Millisecond + rand.N(time.Second))

		udpWaits, tcpWaits, begun := p.next(), stream.next(), time.Now()
		breakPath()
		udp = append(udp, w.took(&p.progress, udpWaits, begun))
		tcp = append(tcp, w.took(&stream.progress, tcpWaits, begun))
	}
	figures.add(t, 1, what+": transfer meanwhile", tr.finish())
	finish()
}

// TestCutLink: the line at home is dead for a while, again and again, with a
// transfer in progress.
func TestCutLink(t *testing.T) {
	w := newWorld(t, nil)
	const rate = 100_000_000 // bit/s
	good := line
	good.Rate = rate
	require.NoError(t, w.three.HomeLink.SetBoth(good))
	cuts := sized(2, 5)
	size := sized[int64](10_000_000, 200_000_000)

	p := w.startPlayer(1)
	w.answered(&p.progress)
	stream, finish := w.startStream(1, chat)
	w.answered(&stream.progress)
	tr := w.startTransfer(order{Size: uint64(size), Seed: 2})

	var udp, tcp []time.Duration
	defer func() {
		figures.times(t, 2, "link cut: UDP answers after restoration", udp, 0, time.Second)
		figures.times(t, 2, "link cut: an open TCP connection goes on after restoration", tcp, 0, time.Second)
	}()
	for i := range cuts {
		tr.reached(size * int64(i+1) / int64(cuts+1))
		w.three.HomeLink.Cut()
		time.Sleep(sized(3*time.Second, 10*time.Second))
		udpWaits, tcpWaits, begun := p.next(), stream.next(), time.Now()
		w.three.HomeLink.Restore()
		udp = append(udp, w.took(&p.progress, udpWaits, begun))
		tcp = append(tcp, w.took(&stream.progress, tcpWaits, begun))
	}
	tr.reached(size)
	figures.add(t, 2, fmt.Sprintf("link cut: transfer over %d cuts", cuts), tr.finish())
	finish()
	ports := w.arena.ports(1)
	figures.add(t, 2, "link cut: source ports of a player at the server", fmt.Sprint(len(ports)))
	require.Len(t, ports, 1, "the server sees the player from one port")
}
