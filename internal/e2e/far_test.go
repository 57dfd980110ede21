//go:build linux

package e2e

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/probe"
	"funnel/internal/wan"
)

// TestTransferFarAway sends more than a channel's window both ways at once, to a
// server that is so far away that the window would hold it back.
func TestTransferFarAway(t *testing.T) {
	if err := wan.Available(); err != nil {
		lack(t, "no link can be emulated: %v", err)
	}
	f := newFar(t, 300*time.Millisecond, probe.EchoTCP)
	data := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	want := sha256.Sum256(data)
	// A machine that is too slow to be held back gets no wider window.
	for try, windows := 1, "0"; windows == "0" && try <= 5; try++ {
		ctx, stop := context.WithTimeout(t.Context(), 2*patience)
		conn, err := f.vps.DialContext(ctx, "tcp4", f.funnel)
		require.NoError(t, err)
		context.AfterFunc(ctx, func() { conn.Close() })
		var sending sync.WaitGroup
		sending.Go(func() {
			_, err := conn.Write(data)
			if err == nil {
				err = conn.(*net.TCPConn).CloseWrite()
			}
			if err != nil {
				t.Error(err)
			}
		})
		hash := sha256.New()
		n, err := io.Copy(hash, conn)
		stop()
		sending.Wait()
		require.NoError(t, err)
		require.EqualValues(t, len(data), n)
		require.Equal(t, want[:], hash.Sum(nil))
		windows = f.agent.expectTimes(`msg="connection ended" .* windows=(\d+)`, try)[1]
		t.Logf("try %d: %s windows", try, windows)
	}
}

// BenchmarkFar is one TCP connection between a client beside the relay and a
// server far from it, through the funnel and straight. Each run takes 5 s, and
// counts from the third on, when TCP has found its rate: use -benchtime 1x.
func BenchmarkFar(b *testing.B) {
	if err := wan.Available(); err != nil {
		lack(b, "no link can be emulated: %v", err)
	}
	for _, roundTrip := range []time.Duration{40 * time.Millisecond, 150 * time.Millisecond} {
		b.Run(roundTrip.String(), func(b *testing.B) {
			f := newFar(b, roundTrip, probe.ServeBulk)
			for name, address := range map[string]string{"straight": f.straight, "funnel": f.funnel} {
				for _, direction := range []probe.Direction{probe.Download, probe.Upload} {
					b.Run(name+"/"+direction.String(), func(b *testing.B) { f.measure(b, address, direction) })
				}
			}
		})
	}
}

// farSubnet is out of the block of RFC 2544.
var farSubnet = netip.MustParsePrefix("198.18.3.0/24")

// far is a relay, and an agent and a server far from it.
type far struct {
	vps              *wan.Host
	agent            *agent
	straight, funnel string // the server's addresses for a client at the VPS
}

func newFar(b testing.TB, roundTrip time.Duration, serve func(net.Listener) *probe.TCPServer) *far {
	world, err := wan.New(wan.Options{Seed: 1})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, world.Close()) })
	vps, err := world.Host("vps")
	require.NoError(b, err)
	home, err := world.Host("home")
	require.NoError(b, err)
	link, err := world.Link(vps, home, farSubnet)
	require.NoError(b, err)
	require.NoError(b, link.SetBoth(wan.Conditions{Delay: roundTrip / 2}))
	listener, err := home.Listen("tcp4", ":0")
	require.NoError(b, err)
	server := serve(listener)
	b.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(b, err)

	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	relay := &relay{state: b.TempDir(), key: newIdentity(b)}
	relay.authorize(b, relay.key)
	relay.process = startCommand(b, vps.Command(ctx, filepath.Join(programs, "funnel-relay"),
		"serve", "--listen", link.Addr(vps).String()+":0", "--state-dir", relay.state))
	at := relay.expect(`listening on (\S+)`)[1]
	agent := &agent{startCommand(b, home.Command(ctx, filepath.Join(programs, "funnel-agent"), "--identity", relay.key.file,
		"--host-key", relay.expect(`host key (SHA256:\S+)`)[1], "--state-dir", b.TempDir(), "--log-level", "debug", "--tcp", "0:127.0.0.1:"+port, at))}
	return &far{vps, agent, net.JoinHostPort(link.Addr(home).String(), port), agent.public("tcp", "127.0.0.1:"+port)}
}

func (f *far) measure(b *testing.B, address string, direction probe.Direction) {
	var sum float64
	for range b.N {
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		conn, err := f.vps.DialContext(ctx, "tcp4", address)
		require.NoError(b, err)
		transfer, err := probe.Bulk(ctx, conn, direction, 2*time.Second)
		require.NoError(b, err)
		sum += transfer.BitsPerSecond() / 1e6
		_ = conn.(*net.TCPConn).SetLinger(0) // what is under way is of no use
		conn.Close()
		stop()
		time.Sleep(time.Second) // for what is still under way
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(sum/float64(b.N), "Mbit/s")
}
