package checkup

import "time"

// findings reads off a result what the verdict rests on.
func (r *Result) findings(noUDP bool) Findings {
	quiet := r.find(Quiet)
	f := Findings{NoUDP: noUDP, FunnelLoss: -1, Lanes: r.Lanes, Copies: r.Copies}
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
	for _, way := range []Way{FunnelUDP, FunnelTCP} {
		if before, beside := quiet.find(way), r.find(Through).find(way); before != nil && beside != nil {
			f.Play = max(0, beside.Summary.P50-before.Summary.P50)
			break
		}
	}
	return f
}

// readRest takes what was seen with nothing else going on.
func (f *Findings) readRest(quiet *Condition, kernel *Kernel) {
	if kernel != nil {
		f.RTT = kernel.MinRTT
	}
	if plain := quiet.first(PlainUDP, PlainTCP); plain != nil {
		f.RTT = plain.Summary.P50
	}
	switch udp, tcp := quiet.find(PlainUDP), quiet.first(PlainTCP, FunnelTCP); {
	case udp != nil:
		f.Lost, f.Loss = udp.Summary.Sent-udp.Summary.Received, udp.Summary.Loss()
	case tcp != nil && tcp.Segments > 0:
		// What was sent again was lost, or its acknowledgement late: a bound.
		f.Lost, f.Loss = int(tcp.Resent), float64(tcp.Resent)/float64(tcp.Segments)
	}
	if m := quiet.find(FunnelUDP); m != nil {
		f.FunnelLoss = m.Summary.Loss()
	}
	if m := quiet.first(FunnelUDP, FunnelTCP); m != nil {
		f.Overhead, f.OverheadRatio = m.Overhead, m.Ratio
	}
}

// bottleneck is what a load shows: the median is the queue's usual length, and
// isn't moved by what a full queue drops.
func (r *Result) bottleneck(load Load) Bottleneck {
	condition := r.find(load)
	if condition == nil || condition.Bulk == 0 {
		return Bottleneck{}
	}
	b := Bottleneck{Rate: condition.Bulk}
	for _, way := range []Way{PlainUDP, PlainTCP, FunnelTCP} {
		if before, beside := r.find(Quiet).find(way), condition.find(way); before != nil && beside != nil {
			b.Queue = max(time.Duration(0), beside.Summary.P50-before.Summary.P50)
			break
		}
	}
	return b
}
