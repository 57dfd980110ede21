package e2e

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

// plainForwarder is the baseline: a program that carries datagrams between one
// client and target with nothing but two sockets.
func plainForwarder(t testing.TB, target netip.AddrPort) string {
	t.Helper()
	public, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	local, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
	require.NoError(t, err)
	t.Cleanup(func() { public.Close(); local.Close() })
	clients := make(chan netip.AddrPort, 1)
	go func() {
		b := make([]byte, 65536)
		known := false
		for {
			n, from, err := public.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if !known {
				clients <- from
				known = true
			}
			_, _ = local.Write(b[:n])
		}
	}()
	go func() {
		b := make([]byte, 65536)
		client := <-clients
		for {
			n, err := local.Read(b)
			if err != nil {
				return
			}
			_, _ = public.WriteToUDPAddrPort(b[:n], client)
		}
	}()
	return public.LocalAddr().String()
}

func benchmarkRoundTrip(b *testing.B, address string) {
	conn := dialUDP(b, address)
	payload := make([]byte, 64)
	exchange(b, conn, payload)
	buffer := make([]byte, 65536)
	require.NoError(b, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	b.ResetTimer()
	for range b.N {
		_, err := conn.Write(payload)
		require.NoError(b, err)
		_, err = conn.Read(buffer)
		require.NoError(b, err)
	}
}

// benchmarkRate keeps a window of datagrams in flight and reports how many come
// back in a second.
func benchmarkRate(b *testing.B, address string, size int) {
	const window = 200
	conn := dialUDP(b, address)
	payload := make([]byte, size)
	exchange(b, conn, payload)
	buffer := make([]byte, 65536)
	b.ResetTimer()
	flying, lost := 0, 0
	for done := 0; done < b.N; {
		for ; flying < window; flying++ {
			_, err := conn.Write(payload)
			require.NoError(b, err)
		}
		require.NoError(b, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		if _, err := conn.Read(buffer); err != nil {
			lost += flying
			flying = 0
			continue
		}
		flying--
		done++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}

func BenchmarkUDP(b *testing.B) {
	ways := []struct {
		name    string
		address func(b *testing.B) string
	}{
		{"direct", func(b *testing.B) string { return udpEcho(b).String() }},
		{"forwarder", func(b *testing.B) string { return plainForwarder(b, udpEcho(b)) }},
		{"funnel", func(b *testing.B) string {
			return newUDPPair(b, nil, []forward.Forward{udpForward(udpEcho(b))}...).address(b)
		}},
	}
	for _, way := range ways {
		b.Run("roundtrip/"+way.name, func(b *testing.B) { benchmarkRoundTrip(b, way.address(b)) })
	}
	for _, way := range ways {
		b.Run("rate64/"+way.name, func(b *testing.B) { benchmarkRate(b, way.address(b), 64) })
		b.Run("rate1200/"+way.name, func(b *testing.B) { benchmarkRate(b, way.address(b), 1200) })
	}
}
