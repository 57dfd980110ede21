package pace

import "time"

// Tunables of this package, each with its reason.
const (
	// congestion is the control that is asked for. BBR sends at the rate that
	// the path delivers and leaves the queue of the slowest link nearly empty:
	// beside a download over a 20 Mbit/s line with a queue of 100 ms play
	// waited 17 ms at the 99th percentile, beside CUBIC 300.
	congestion = "bbr"

	// roomTime is for how long what a transfer may have waiting lasts, in the
	// program and again in the kernel: at 20 Mbit/s a conn beside it waits for
	// 25 KiB each, instead of megabytes. roomLeast holds one packet of SSH, and
	// roomMost is as much as a tcpio.Conn gathers: on lines so fast that this
	// is less than roomTime, nobody waits for it.
	roomTime  = 10 * time.Millisecond
	roomLeast = 36 << 10
	roomMost  = 256 << 10

	// lookInterval is how often the connection is looked at while there is a
	// transfer, and how soon after one may have begun: about once in a round trip
	// of a usual path. A look costs about a microsecond.
	lookInterval = 50 * time.Millisecond

	// bulkRate is the bytes a second above which a connection counts as a
	// transfer: a quarter of a poor upload (1 Mbit/s). Below, what it has in a
	// queue can't amount to much.
	bulkRate = 32 << 10

	// stirBytes is after how many bytes, each way together, a transfer may have
	// begun: a quarter of a second's worth. While less moves nobody looks.
	stirBytes = bulkRate / 4

	// queueHigh is the wait in the path's queue from which play suffers: a
	// frame of a game at 60 a second. queueLow is the one below which there is
	// room for more. In between the rate stays.
	queueHigh = 16 * time.Millisecond
	queueLow  = 8 * time.Millisecond

	// segment is what one carries in bytes, on most paths, and delayedAck how long
	// Linux lets one wait for the next (TCP_DELACK_MIN). Below 1.2 Mbit/s BBR sends
	// segments one by one: at 1.1 Mbit/s each second one is 10 ms late, which was
	// taken for a queue, so that a transfer that had come down to there, by losses
	// when it began, stayed there.
	segment    = 1448.0
	delayedAck = 40 * time.Millisecond

	// lateLooks is over how many looks the path's rate is taken: in one of them
	// all acks may be waiting for a lost segment to be repeated, and in the next
	// all of them come.
	lateLooks = 6

	// slower and faster are the steps of the rate, once per round trip. The
	// step down leaves a fifth of the link to empty the queue with: 100 ms of
	// queue are gone in half a second. The steps up are small, as each is an
	// attempt that costs play a little. resume is where they begin, as a share
	// of what the path carried.
	slower = 0.8
	faster = 1.05
	resume = 0.95

	// giveUpShare is the share of the path's rate at which the queue must have
	// become shorter than giveUpQueue of what it was; else holding the transfer
	// back is no use, and isn't tried again for giveUpFor. Four steps down leave
	// 0.41, and would have emptied a second of queue by then.
	giveUpShare = 0.42
	giveUpQueue = 0.7
	giveUpFor   = 30 * time.Second

	// release is the multiple of the rate in use at which the bound does
	// nothing any more, and is taken away.
	release = 4

	// leastRate and mostRate bound a fixed rate, in bytes a second.
	leastRate = 8e3
	mostRate  = 12.5e9
)
