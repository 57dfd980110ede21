package lane

import (
	"time"

	"funnel/internal/mux"
)

// Tunables of this package, each with its reason.
const (
	// MaxLanes bounds the lanes of a session. A flow keeps a bit for each
	// (flow.Flow.Header), and more than a few gain nothing.
	MaxLanes = 16

	// MaxSlots is how many lanes a session may have for a moment: each may be
	// replaced by another before it has ended.
	MaxSlots = 2 * MaxLanes

	// DefaultMaxDelay is the age at which a datagram isn't worth sending any
	// more: a game has long corrected for it by then.
	DefaultMaxDelay = 200 * time.Millisecond

	// queueDatagrams and queueBytes bound what waits for one flow on one
	// lane. A flow within its rate has none waiting; 128 hold a burst that a
	// server sends at once (a map, a player list), and 288 KiB of memory as
	// many of Internet size, or four of the largest datagrams.
	queueDatagrams = 128
	queueBytes     = 288 << 10

	// laneBytes bounds the memory of what waits on a lane for all flows
	// together: 12,000 small datagrams, or 2,000 of the largest that fit the
	// Internet's packets. packetOverhead is what one takes besides its payload.
	laneBytes      = 4 << 20
	packetOverhead = 96

	// fattestLooks bounds the queues looked at to find whose datagrams give
	// way when a lane is full. At 64 KiB a queue, that many fill a lane.
	fattestLooks = 64

	// urgentBytes bounds the records that aren't datagrams waiting on a
	// lane. They are few and small, and each may be lost without harm.
	urgentBytes = 64 << 10

	// quantum is what a flow may send before the next one's turn, in bytes:
	// one datagram of Internet size, as in FQ-CoDel (RFC 8290 §5.2).
	quantum = 1500

	// batchBytes is how much is gathered into one write: one frame, which is
	// one SSH packet.
	batchBytes = mux.MaxFrame

	// leastRoom is the part of the peer's window without which a write isn't
	// worth its cost.
	leastRoom = 4 << 10

	// gatePoll is how often a lane whose TCP connection holds enough already
	// looks again. The kernel tells nobody when its queue shrinks; a
	// millisecond is well under a frame of any game, and 1,000 ioctls a
	// second, only while a lane is full, are about a thousandth of a core.
	gatePoll = time.Millisecond

	// heldLeast is what may be handed to TCP and not be acknowledged yet on
	// any path: about the ten segments a new connection may send at once
	// (RFC 6928).
	heldLeast = 16 << 10

	// heldSegments is the same in segments: a peer may wait for a second one
	// before it acknowledges (RFC 9293 §3.8.6.3), 40 ms on Linux, and another
	// fills the time until it has. It matters where they are long, as the
	// 64 KiB of a loopback are.
	heldSegments = 3

	// heldMost bounds the same on any path: half of the SSH channel's
	// window, so that writes into it never block.
	heldMost = 1 << 20

	// heldGain is how much more than the path's bandwidth-delay product may
	// be on its way: enough to find out when the path carries more, as BBR
	// probes (a quarter above its estimate), and a quarter of a round trip
	// of queue at most.
	heldGain = 1.25

	// lookAge is how long the system's last answer about a path is good for.
	// Asking costs about a microsecond; a lane in trouble is avoided this much
	// later at most.
	lookAge = 2 * time.Millisecond

	// minRTO is the least wait, after a round trip, before what the kernel has
	// had no sign of is sent again: just above the 40 ms by which Linux delays
	// an acknowledgement that has nothing to ride on. The default of 200 ms is
	// what a datagram waits whose segment was lost twice.
	minRTO = 50 * time.Millisecond

	// observeAge is how often the losses of all lanes are added up, for how many
	// copies to send: a few times within dsackWait.
	observeAge = 50 * time.Millisecond

	// stallSlack is how much later than usual an acknowledgement may come
	// before its lane counts as stalled: half of the 40 ms for which Linux
	// delays one that has no data to ride on; the variation that causes is in
	// the round trip time's own.
	stallSlack = 20 * time.Millisecond

	// maxMarks bounds the writes watched for their acknowledgement at once; at
	// one a look, the last of them stands for all further ones.
	maxMarks = 16

	// MaxCopies bounds the lanes one datagram is sent on: three reach 99.8 % on
	// time at 3 % loss, and a fourth gains less than it costs.
	MaxCopies = 3

	// lateDelay is how long the last of three copies is held back: about half of
	// the outages of 20 ms, which radio links and Wi-Fi have, are over by then, and
	// what it brings is still worth having. lateMost bounds how many wait: 12 ms of
	// 20,000 datagrams a second; beyond, they aren't held back.
	lateDelay = 12 * time.Millisecond
	lateMost  = 256

	// lossSpan is the length of each of the two spans that the rate of loss is
	// taken over, and lossSample the segments below which it says nothing:
	// four or five losses at the rate that matters.
	lossSpan   = 15 * time.Second
	lossSample = 300

	// lossHigh is the share of segments lost above which two copies are lost
	// together too often: each loss stops a lane for two more of a flow's
	// datagrams, so that at 1 % two copies both wait about once in 600, each
	// way, and three once in 30,000.
	lossHigh = 0.006

	// dsackWait is how long what was sent again counts as a guess of the
	// kernel's: a peer that had got it says so (RFC 2883) within a round trip.
	// Without this wait a busy machine, which acknowledges late, looks like a
	// bad line and is given more to do.
	dsackWait = 150 * time.Millisecond

	// copiesHold is how long after the last loss there is more than one copy:
	// bad lines are bad for minutes, and the first loss after a wrong guess
	// hurts.
	copiesHold = 2 * time.Minute

	// What further copies may take of the bandwidth: copiesLeast bytes a
	// second on any line, a sixteenth of the upload of a poor one (8 Mbit/s),
	// or copiesShare of the best rate that the lanes were seen to deliver.
	// copiesBurst is how much of that may be spent at once.
	copiesLeast = 64 << 10
	copiesShare = 0.25
	copiesBurst = 500 * time.Millisecond

	// playSpan is how long after a datagram somebody still counts as playing:
	// games send many times a second, and the quietest server once a second.
	playSpan  = 2 * time.Second
	playGrain = 100 * time.Millisecond // kept to, so that datagrams don't contend for the note

	// inlineRounds is how many batches a goroutine that brings datagrams
	// writes itself, before it leaves the rest to the lane's own: one, for a
	// datagram alone; a busy reader's place is at its socket.
	inlineRounds = 1
)
