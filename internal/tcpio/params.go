package tcpio

import "time"

const (
	// readBuffer is how many bytes a Conn asks of the kernel at once. SSH reads
	// packets of at most 32 KiB in small pieces; 64 KiB hold two of them.
	readBuffer = 64 << 10

	// firstReadBuffer is how many bytes a Conn asks for until that many came at
	// once: a login, which strangers may begin without end, and a link at rest
	// need no more.
	firstReadBuffer = 4 << 10

	// gatherLimit is how many bytes may wait in a Conn while a write is under
	// way; beyond it writers wait too. Eight SSH packets of full size are enough
	// to keep the kernel busy until the writers are woken.
	gatherLimit = 256 << 10

	// quietTime is how long after the latest write a Conn counts as idle, so that
	// the next write is made by the caller. Handing a write over costs 30 us of
	// delay on an idle machine, until a sleeping processor is awake; packets that
	// follow each other within the time of a system call gain from it, writes of
	// 1200 bytes almost twice the throughput.
	quietTime = 20 * time.Microsecond

	// pieceLength is the size in bytes of the buffer that SSH writes through. A
	// write of exactly that length is the beginning of a packet and its rest
	// follows at once, so that sending it alone would cost both ends a system
	// call. (With AES-GCM and ChaCha20-Poly1305 no whole packet has that length.)
	pieceLength = 4096

	// holdTime is how long such a piece waits for its rest at most: long enough
	// for a writer that lost its processor, short for the rare whole packet.
	holdTime = time.Millisecond

	// maxRTO is how long the kernel waits at most before it sends lost data
	// again: the least that it takes. By default a line that was cut for 10 s is
	// not tried again for up to 6 s after it is back.
	maxRTO = time.Second

	// closeGrace bounds how long Close waits for gathered bytes to be taken by
	// the kernel. It does so at once unless the peer has stopped reading.
	closeGrace = 100 * time.Millisecond
)
