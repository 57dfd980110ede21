package checkup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fine is a line without fault; each case of the table changes something.
func fine() Findings {
	return Findings{
		TCP: true, UDP: true, RTT: 20 * time.Millisecond, Overhead: time.Millisecond, OverheadRatio: 1.02,
		Up: Bottleneck{40e6, 8 * time.Millisecond}, Down: Bottleneck{100e6, 8 * time.Millisecond}, Through: Bottleneck{36e6, 8 * time.Millisecond},
		PlayUDP: 12 * time.Millisecond, PlayTCP: 60 * time.Millisecond, Lanes: 4,
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Findings)
		want   []Fault
		text   []string // in the first sentence
	}{
		"clean": {func(f *Findings) {}, []Fault{None}, []string{"nothing is wrong", "20 ms to the relay", "no queue"}},
		"clean, no load measured": {func(f *Findings) {
			f.Up, f.Down, f.Through, f.PlayUDP, f.PlayTCP = Bottleneck{}, Bottleneck{}, Bottleneck{}, -1, -1
		},
			[]Fault{None}, []string{"next to nothing lost"}},
		"no port answers":      {func(f *Findings) { *f = Findings{TCPBlocked: true, UDPBlocked: true} }, []Fault{Unreachable}, []string{"firewall", "authorize --replace --permit PORTS NAME"}},
		"no port of an sshd":   {func(f *Findings) { *f = Findings{TCPBlocked: true, NoUDP: true} }, []Fault{Unreachable}, []string{"GatewayPorts"}},
		"no port given":        {func(f *Findings) { *f = Findings{} }, []Fault{Refused}, []string{"no port"}},
		"UDP blocked":          {func(f *Findings) { f.UDP, f.UDPBlocked = false, true }, []Fault{UDPBlocked}, []string{"UDP is blocked"}},
		"one UDP port blocked": {func(f *Findings) { f.UDPBlocked = true }, []Fault{None}, nil},
		"UDP not permitted":    {func(f *Findings) { f.UDP = false }, []Fault{None}, nil},
		"TCP blocked":          {func(f *Findings) { f.TCP, f.TCPBlocked = false, true }, []Fault{Unreachable}, []string{"TCP is blocked", "UDP passes"}},
		"a stock sshd":         {func(f *Findings) { f.NoUDP, f.UDP = true, false }, []Fault{NoUDP}, []string{"isn't funnel-relay"}},
		"lossy": {func(f *Findings) { f.Lost, f.Loss, f.FunnelLoss = 24, 0.04, 0.001 }, []Fault{Loss},
			[]string{"4.0 % there and back", "loses 0.1 %", "leave --copies at auto"}},
		"lossy, with one copy": {func(f *Findings) { f.Lost, f.Loss, f.FunnelLoss, f.Copies = 24, 0.04, 0.03, 1 }, []Fault{Loss}, []string{"set --copies to auto"}},
		"lossy, beyond auto":   {func(f *Findings) { f.Lost, f.Loss, f.FunnelLoss = 24, 0.04, 0.03 }, []Fault{Loss}, []string{"--copies 3 and --lanes 6"}},
		"lossy, TCP alone":     {func(f *Findings) { f.Lost, f.Loss, f.LossThere, f.FunnelLoss, f.PlayUDP = 24, 0.04, true, -1, -1 }, []Fault{Loss}, []string{"4.0 % on the way there", "cable"}},
		"two lost by chance":   {func(f *Findings) { f.Lost, f.Loss = 2, 0.02 }, []Fault{None}, nil},
		"a few of very many":   {func(f *Findings) { f.Lost, f.Loss = 10, 0.001 }, []Fault{None}, nil},
		"busy uplink": {func(f *Findings) { f.Up = Bottleneck{20.4e6, 85 * time.Millisecond} }, []Fault{Uplink},
			[]string{"your uplink is the bottleneck", "20.4 Mbit/s", "85 ms of queue under load", "--bulk-rate 16M", "only 12 ms longer", "router"}},
		"busy uplink, play waits": {func(f *Findings) { f.Up, f.PlayUDP = Bottleneck{20.4e6, 85 * time.Millisecond}, 70*time.Millisecond }, []Fault{Uplink},
			[]string{"waits 70 ms longer", "turn on --bulk-rate 16M"}},
		"busy uplink, bounded too high": {func(f *Findings) {
			f.Up, f.PlayUDP, f.BulkRate = Bottleneck{20.4e6, 85 * time.Millisecond}, 70*time.Millisecond, true
		}, []Fault{Uplink}, []string{"set --bulk-rate to 16M or less"}},
		"busy uplink, bounded":    {func(f *Findings) { f.Up, f.BulkRate = Bottleneck{20.4e6, 85 * time.Millisecond}, true }, []Fault{Uplink}, []string{"Keep other uploads at home to 16.3 Mbit/s"}},
		"busy uplink of a modem":  {func(f *Findings) { f.Up = Bottleneck{1.04e6, 900 * time.Millisecond} }, []Fault{Uplink}, []string{"--bulk-rate 800k", "900 ms"}},
		"busy downlink":           {func(f *Findings) { f.Down = Bottleneck{50e6, 60 * time.Millisecond} }, []Fault{Downlink}, []string{"downlink", "50.0 Mbit/s", "60 ms", "40.0 Mbit/s"}},
		"UDP waits for transfers": {func(f *Findings) { f.PlayUDP = 45 * time.Millisecond }, []Fault{Transfers}, []string{"45 ms", "--bulk-rate 28M"}},
		"the player's half of a transfer fills the downlink": {func(f *Findings) {
			f.Down, f.Through = Bottleneck{1.5e6, 160 * time.Millisecond}, Bottleneck{1.6e6, 155 * time.Millisecond}
			f.PlayUDP, f.PlayTCP = 337*time.Millisecond, 3388*time.Millisecond
		}, []Fault{Downlink}, []string{"downlink"}},
		"TCP waits for transfers": {func(f *Findings) { f.PlayTCP = 150 * time.Millisecond }, []Fault{Transfers}, []string{"150 ms", "second funnel-agent"}},
		"a slow funnel":           {func(f *Findings) { f.Overhead, f.OverheadRatio = 20*time.Millisecond, 1.5 }, []Fault{Slow}, []string{"20 ms", "40 ms"}},
		"a short path":            {func(f *Findings) { f.Overhead, f.OverheadRatio = time.Millisecond, 3 }, []Fault{None}, nil},
		"a long path":             {func(f *Findings) { f.RTT, f.Overhead, f.OverheadRatio = 150*time.Millisecond, 8*time.Millisecond, 1.03 }, []Fault{Far}, []string{"150 ms"}},
		"all at once, the gravest first": {func(f *Findings) {
			f.UDP, f.UDPBlocked, f.Lost, f.Loss, f.RTT = false, true, 30, 0.05, 90*time.Millisecond
			f.Up, f.Down, f.PlayTCP = Bottleneck{5e6, 200 * time.Millisecond}, Bottleneck{20e6, 90 * time.Millisecond}, time.Second
		}, []Fault{UDPBlocked, Loss, Uplink, Downlink, Transfers, Far}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := fine()
			test.change(&f)
			verdict := Judge(f)
			var faults []Fault
			for _, sentence := range verdict {
				faults = append(faults, sentence.Fault)
				require.NotContains(t, sentence.Text, "%!")
			}
			require.Equal(t, test.want, faults)
			for _, text := range test.text {
				require.Contains(t, verdict[0].Text, text)
			}
		})
	}
}

func TestBulkRateIsAFlagsValue(t *testing.T) {
	for bits, want := range map[float64]string{1e4: "64k", 1e6: "800k", 2.4e6: "1900k", 2.6e6: "2M", 20e6: "16M", 1.2e9: "960M"} {
		require.Equal(t, want, bulkRate(bits))
	}
}
