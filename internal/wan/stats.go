package wan

// Stats are a link's counters since it was made, by direction.
type Stats struct {
	AToB, BToA Counters
}

// Counters count the packets of one direction. Packets in that are neither
// delivered nor lost are on their way:
//
//	In = Delivered + LostRandom + LostOutage + LostQueue + LostCut + LostNAT + LostUDP + InFlight
type Counters struct {
	In        uint64 // packets that the sender's kernel gave to the link
	InBytes   uint64 // their length, IP headers included
	Delivered uint64 // packets given to the receiver's kernel
	Bytes     uint64 // their length, IP headers included

	LostRandom uint64 // by Conditions.Loss
	LostOutage uint64 // by Conditions.Outage
	LostQueue  uint64 // the bottleneck's queue was full
	LostCut    uint64 // the link was cut, or the receiver's device down
	LostNAT    uint64 // sent to an address that Rebind took away, or of a connection that Forget forgot
	LostUDP    uint64 // by Conditions.NoUDP

	// Overrun counts packets that the sender's kernel dropped because the
	// emulator's thread did not take them in time. They are not part of In. If
	// it isn't 0, the machine was too slow for what it was asked, and what was
	// measured is not what was set.
	Overrun uint64

	InFlight uint64 // packets on their way now
}

// Lost is the sum of all that was lost.
func (c Counters) Lost() uint64 {
	return c.LostRandom + c.LostOutage + c.LostQueue + c.LostCut + c.LostNAT + c.LostUDP
}
