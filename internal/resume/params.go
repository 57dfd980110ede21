package resume

import "time"

const (
	// smallChunk is what a direction holds while it waits for bytes, which is
	// most of the time for most connections: a full Ethernet frame and more.
	smallChunk = 2 << 10

	// largeChunk is an SSH channel's packet (32 KiB, RFC 4253 §6.1): what is
	// read at once then goes out as one packet.
	largeChunk = 32 << 10

	// ackEvery is after how many bytes a receiver says that it has handed them
	// on. x/crypto/ssh opens its window again every 96 KiB; an ack every 256 KiB
	// adds less than half to that, and one packet to eight.
	ackEvery = 256 << 10

	// ackWithin is how long a receiver keeps an ack to itself that isn't due
	// otherwise, so that the sender of a conn that has become quiet can let its
	// memory go. It costs a conn in use one small packet a second.
	ackWithin = time.Second

	// channelWindow is the window that x/crypto/ssh gives each channel: so many
	// bytes a round trip and no more.
	channelWindow = 2 << 20

	// wideWindow is how many bytes may be on the way beyond the window: twice
	// the 4 MiB that Linux lets a TCP connection have unacknowledged (the last
	// number of tcp_wmem) unless it was told otherwise, so that it is TCP that
	// limits a conn, as it would without us.
	wideWindow = 8 << 20

	// keepsUp is which part of the channel's window may be waiting for local when
	// the window is full, if local is to count as fast enough for a wider one. One
	// that is too slow has most of it waiting.
	keepsUp = 4

	// heldBack is the latency from which on a channel's window counts as holding
	// a conn back. 2 MiB in 15 ms are 1.1 Gbit/s, more than the line has; and data
	// requests take x/crypto/ssh a fifth more time, which counts where nothing
	// else is in the way.
	heldBack = 15 * time.Millisecond

	// DefaultSpare is what the conns of a program have for wider windows: ten
	// directions at a time. More than two on one link would be no use, as they
	// share the TCP connection below.
	DefaultSpare = 10 * (wideWindow - channelWindow)

	// DefaultBuffer is how many bytes may be sent, or wait to be, without an
	// ack. The 2 MiB of x/crypto/ssh's window can be under way; by the time that
	// the receiver opens the window again it may have kept back an ack of
	// ackEvery, and has up to a chunk in its hands. With the same again for acks
	// that are on the way, the window is always what limits a sender.
	DefaultBuffer = channelWindow + 2*(ackEvery+largeChunk)

	// DefaultPatience is how long a conn waits for a channel: as long as a relay
	// keeps the ports of an agent that is away.
	DefaultPatience = time.Minute
)
