package lab

import "time"

const (
	// DefaultRounds and DefaultDuration make 540 messages a way at 60 a second,
	// and all scenarios take less than half an hour: the p99 of all rounds
	// together stands on five of them. What is to be quoted takes longer rounds.
	DefaultRounds   = 3
	DefaultDuration = 3 * time.Second

	quickDuration = 300 * time.Millisecond

	// warm is how long a bulk transfer runs before anything is measured:
	// cubic fills the busy line's queue in less.
	warm      = 2 * time.Second
	quickWarm = 500 * time.Millisecond

	// rest is the pause between two turns in which queues run empty: the
	// busy line's 100 ms and what tunnels have buffered.
	rest      = time.Second
	quickRest = 50 * time.Millisecond

	// How long to wait for echoes after the last message. A datagram later
	// than a second is of no use to any game; a TCP segment comes when the
	// second or third retransmission does, and after a cut of 10 s the timer
	// that doubles may stand at 13 s.
	graceUDP = time.Second
	graceTCP = 5 * time.Second
	graceCut = 15 * time.Second

	// reachTime is how long a first echo may take before a way counts as broken.
	reachTime = 15 * time.Second

	// quietBound and quietShare are issue 3's criterion: of the direct UDP
	// datagrams that arrive at all, that share is on time.
	quietBound = 20 * time.Millisecond
	quietShare = 0.998

	// floodFlows and floodWindow: enough in flight to hide the round trip, too
	// little to overflow a default socket buffer (208 KiB, of which a datagram
	// of 1,200 bytes takes 2.3) or a flow's queue (128).
	floodFlows  = 4
	floodWindow = 48

	// seed makes the links lose the same packets in every run.
	seed = 1
)
