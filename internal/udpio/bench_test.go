package udpio

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkRoundTrip measures one datagram at a time to a socket on all addresses
// and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, engine := range engines[:2] {
		b.Run(engine.name, func(b *testing.B) {
			server := listen(b, "udp", anywhere, engine.options)
			client := dial(b, netip.AddrPortFrom(loopback4, server.LocalAddr().Port()), engine.options)
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				s := NewSender()
				echo := func(messages []Message) {
					for _, m := range messages {
						s.Add(server, m.Data, m.Remote, m.Local)
					}
					s.Flush()
				}
				for server.Receive(echo) == nil {
				}
			}()
			s := NewSender()
			payload := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				s.Add(client, payload, netip.AddrPort{}, netip.Addr{})
				s.Flush()
				if err := client.Receive(func([]Message) {}); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, server.Close())
			<-stopped
		})
	}
}

// BenchmarkFlood measures how many datagrams a second cross from one Sender to one
// reader, for runs to one client and for datagrams that alternate between two.
func BenchmarkFlood(b *testing.B) {
	for _, engine := range engines {
		for _, size := range []int{64, 1200} {
			for _, run := range []int{1, 2, 4, 32} {
				b.Run(fmt.Sprintf("%s/%dB/runs of %d", engine.name, size, run), func(b *testing.B) {
					benchmarkFlood(b, engine.options, size, run)
				})
			}
		}
	}
}

func benchmarkFlood(b *testing.B, options Options, size, run int) {
	server := listen(b, "udp", anywhere, options)
	var got atomic.Int64
	stopped := make(chan struct{}, 2)
	var remotes []netip.AddrPort
	for range 2 {
		client := dial(b, netip.AddrPortFrom(loopback4, server.LocalAddr().Port()), options)
		remotes = append(remotes, client.LocalAddr())
		go func() {
			count := func(messages []Message) { got.Add(int64(len(messages))) }
			for client.Receive(count) == nil {
			}
			stopped <- struct{}{}
		}()
		defer client.Close()
	}
	s := NewSender()
	payload := make([]byte, size)
	const burst = 32
	total := 0
	start := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for i := range burst {
			s.Add(server, payload, remotes[i/run%2], loopback4)
		}
		sent, _ := s.Flush()
		// At most 256 in flight, so that no queue overflows.
		for total += sent; int64(total)-got.Load() > 256; {
			time.Sleep(time.Microsecond)
		}
	}
	elapsed := time.Since(start)
	b.ReportMetric(float64(total)/elapsed.Seconds(), "datagrams/s")
	b.ReportMetric(float64(elapsed.Nanoseconds())/float64(total), "ns/datagram")
}
