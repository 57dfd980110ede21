package checkup

import "time"

const (
	// DefaultDuration is of each measurement: 600 messages at 60 a second, so
	// that 1 % of loss shows and p99 stands on six of them. The whole takes less
	// than a minute.
	DefaultDuration = 10 * time.Second

	// MinDuration still holds some messages; MaxDuration, with what comes before
	// and after, is less than what the relay keeps test ports open for.
	MinDuration = time.Second
	MaxDuration = 90 * time.Second

	// warm is how long a transfer runs before anything is measured beside it:
	// long enough for TCP to fill the queue of any home line. No longer than
	// half of what is measured.
	warm = 2 * time.Second

	// rest is the pause after a transfer, in which queues run empty.
	rest = time.Second

	// upTime is how long the funnel may take to come up: several round trips and
	// logins on a small VPS.
	upTime = 20 * time.Second

	// reachTime is how long a first echo may take before a port counts as
	// blocked: an echo is asked for every 100 ms over UDP, and two lost SYNs are
	// made up for.
	reachTime = 4 * time.Second

	// How long to wait for echoes after the last message. A datagram later than
	// a second is of no use to any game; a TCP segment comes when the second or
	// third retransmission does.
	graceUDP = time.Second
	graceTCP = 3 * time.Second

	// What the verdict calls a fault. A share of 0.5 % lost is felt by a
	// shooter; fewer than three messages are chance.
	lossShare = 0.005
	lossCount = 3
	// queueTime of waiting beside a transfer is a bottleneck with a queue too
	// long: 30 ms are two frames, and more than a managed queue ever holds.
	queueTime = 30 * time.Millisecond
	// sharedTime is what TCP may wait for a transfer in the same connection
	// before that is a fault: some of it is in the nature of one connection.
	sharedTime = 100 * time.Millisecond
	// overheadTime and overheadRatio together are a funnel that is slow: one of
	// them alone is the noise of a busy machine or of a path that is short.
	overheadTime  = 5 * time.Millisecond
	overheadRatio = 1.25
	// farTime is a round trip to the relay that players notice whatever else is
	// right: a VPS within 1,500 km is nearer than 40 ms.
	farTime = 60 * time.Millisecond

	// bulkShare of an uplink is what transfers may have so that its queue stays
	// empty: the rest is for play, and for SSH's and TCP's headers.
	bulkShare = 0.8

	// bars are the lines of a histogram, barWidth the characters of the longest.
	bars     = 10
	barWidth = 40
)
