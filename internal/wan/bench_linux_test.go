package wan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

// BenchmarkPackets sends as fast as home receives, over both links of 1 ms:
// each packet is carried twice, plus an acknowledgement now and then.
func BenchmarkPackets(b *testing.B) {
	three := newThree(b, 1)
	for _, l := range []*wan.Link{three.PlayerLink, three.HomeLink} {
		require.NoError(b, l.SetBoth(wan.Conditions{Delay: time.Millisecond}))
	}
	player, home := udpPair(b, three)
	// So many at once, acknowledged once they are there: less than any queue holds.
	const window = 512
	go func() {
		buffer := make([]byte, 2048)
		for n := 1; ; n++ {
			_, from, err := home.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if n%window == 0 {
				_, _ = home.WriteToUDPAddrPort(buffer[:1], from)
			}
		}
	}()
	defer home.Close()
	packet := make([]byte, 200)
	processor := processorTime()
	b.ResetTimer()
	inFlight := 0
	for n := range b.N {
		_, err := player.Write(packet)
		require.NoError(b, err)
		if inFlight++; (n+1)%window == 0 && inFlight >= 2*window {
			require.NoError(b, player.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err := player.Read(packet)
			require.NoError(b, err)
			inFlight -= window
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
	b.ReportMetric(float64((processorTime()-processor).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkRoundTrip reports what a path of 40 ms shows more than that, the
// kernels and both programs included.
func BenchmarkRoundTrip(b *testing.B) {
	three := newThree(b, 1)
	fortyMilliseconds(b, three)
	player, home := udpPair(b, three)
	echo(b, home)
	times := roundTrips(b, player, max(20, b.N), 0)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(quantile(times, 0.5)-40*time.Millisecond)/1e3, "p50-added-µs")
	b.ReportMetric(float64(quantile(times, 0.99)-40*time.Millisecond)/1e3, "p99-added-µs")
}

// BenchmarkTwentyThousand sends 20,000 packets a second over a path of 20 ms,
// and reports what they take more than that, and the processor's share, of
// which 1 is one core, that this process takes: both links, sender and receiver.
func BenchmarkTwentyThousand(b *testing.B) {
	three := newThree(b, 1)
	fortyMilliseconds(b, three)
	player, home := udpPair(b, three)
	processor, start := processorTime(), time.Now()
	delays, _ := oneWay(b, player, home, max(2_000, b.N), 20_000, 200)
	b.ReportMetric((processorTime()-processor).Seconds()/time.Since(start).Seconds(), "cores")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(quantile(delays, 0.5)-20*time.Millisecond)/1e3, "p50-added-µs")
	b.ReportMetric(float64(quantile(delays, 0.99)-20*time.Millisecond)/1e3, "p99-added-µs")
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
