package checkup

import "time"

// findings reads off a result what the verdict rests on.
func (r *Result) findings(noUDP bool) Findings {
	quiet := r.find(Quiet)
	f := Findings{NoUDP: noUDP, FunnelLoss: -1, PlayUDP: -1, PlayTCP: -1, Lanes: r.Lanes, Copies: r.Copies, BulkRate: r.BulkRate > 0}
	if quiet == nil {
		return f
	}
	for _, m := range quiet.Ways {
		answered := m.Summary != nil && m.Summary.Received > 0
		switch {
		case m.Way.udp():
			f.UDP, f.UDPBlocked = f.UDP || answered, f.UDPBlocked || m.Blocked
		default:
			f.TCP, f.TCPBlocked = f.TCP || answered, f.TCPBlocked || m.Blocked
		}
	}
	f.readRest(quiet, r.Kernel)
	f.Up, f.Down, f.Through = r.bottleneck(Upload), r.bottleneck(Download), r.bottleneck(Through)
	if f.Up == (Bottleneck{}) {
		// A player's download through the funnel fills the uplink as well.
		f.Up = f.Through
	}
	f.PlayUDP, f.PlayTCP = r.waits(FunnelUDP, Through), r.waits(FunnelTCP, Through)
	return f
}

// waits is how much longer a way's median is beside a load than at rest;
// negative if it wasn't measured. The median is a queue's usual length, and isn't
// moved by what a full queue drops.
func (r *Result) waits(way Way, load Load) time.Duration {
	before, beside := r.find(Quiet).find(way), r.find(load).find(way)
	if before == nil || beside == nil {
		return -1
	}
	return max(0, beside.Summary.P50-before.Summary.P50)
}

// readRest takes what was seen with nothing else going on.
func (f *Findings) readRest(quiet *Condition, kernel *Kernel) {
	plain, through := quiet.first(PlainUDP, PlainTCP), quiet.first(FunnelUDP, FunnelTCP)
	switch {
	case plain != nil:
		f.RTT = plain.Summary.P50
	case kernel != nil:
		f.RTT = kernel.MinRTT
	case through != nil:
		f.RTT = through.Summary.P50 / 2 // there and back twice
	}
	switch udp, tcp := quiet.find(PlainUDP), quiet.first(PlainTCP, FunnelTCP); {
	case udp != nil:
		f.Lost, f.Loss = udp.Summary.Sent-udp.Summary.Received, udp.Summary.Loss()
	case tcp != nil && tcp.Segments > 0:
		// What was sent again was lost, or its acknowledgement late: a bound. Of what
		// comes back only the relay's kernel knows.
		f.Lost, f.Loss, f.LossThere = int(tcp.Resent), float64(tcp.Resent)/float64(tcp.Segments), true
	}
	if whole, half := quiet.find(FunnelUDP), quiet.find(PlainUDP); whole != nil && half != nil {
		// The player's half of the way is the plain one.
		f.FunnelLoss = max(0, 1-(1-whole.Summary.Loss())/(1-half.Summary.Loss()))
	}
	if through != nil {
		f.Overhead, f.OverheadRatio = through.Overhead, through.Ratio
	}
}

// bottleneck is what a load shows; zero if nothing.
func (r *Result) bottleneck(load Load) Bottleneck {
	condition := r.find(load)
	if condition == nil || condition.Bulk == 0 {
		return Bottleneck{}
	}
	for _, way := range []Way{PlainUDP, PlainTCP, FunnelTCP} {
		if queue := r.waits(way, load); queue >= 0 {
			return Bottleneck{condition.Bulk, queue}
		}
	}
	return Bottleneck{Rate: condition.Bulk}
}
