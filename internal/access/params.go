package access

import "time"

// Limits of the authorized keys file. It is the operator's own, so they guard
// against accidents: a log written over it, a file of the wrong kind.
const (
	// maxFile bounds the file in bytes. It has room for some 40,000 keys and
	// is still read in a few milliseconds, which every login pays.
	maxFile = 8 << 20

	// maxLine bounds one line in bytes. sshd stops at 8 KiB; a key with
	// permitlisten for some hundred ports needs more.
	maxLine = 64 << 10

	// maxWarnings bounds what one version of the file writes to the log.
	maxWarnings = 20

	// minRSA is the smallest RSA modulus in bits: what NIST SP 800-57 allows
	// until 2030. sshd's own default, 1024, has been in reach for years.
	minRSA = 2048

	// maxName bounds a key's comment in bytes where it serves as a name.
	maxName = 255
)

const (
	// maxTries bounds how many ports are tried when the relay chooses one and
	// the kernel can't. With 97 of 100 permitted ports taken, all 256 fail
	// once in 2,400 times.
	maxTries = 256

	// maxListed bounds how many permissions a denial lists, so that it stays
	// one sentence.
	maxListed = 8

	// maxQuote bounds how much of a refused text an error repeats.
	maxQuote = 80

	// lockWait bounds how long Append waits for another one. Each holds the
	// lock for milliseconds, so a lock older than this was left by a crash.
	lockWait = 5 * time.Second

	// lockPoll is how often Append looks whether the lock is free.
	lockPoll = 10 * time.Millisecond

	// settling is how old a file must be for its times to tell it from the next
	// version: file systems note them to two seconds at worst (FAT).
	settling = 2 * time.Second

	// maxUnsteady is at how many looks in a row a file may have changed again
	// before it counts as it is: what fail2ban writes under attack must count
	// though there is ever more of it.
	maxUnsteady = 4

	// minBurst is the least a bandwidth limit lets through at once, in bytes:
	// the largest datagram, and more than a stream's copy buffer.
	minBurst = 64 << 10

	// burstParts: a bandwidth limit lets an eighth of a second's worth through
	// at once, so that a game's bursts at each tick pass.
	burstParts = 8

	// maxCount and maxRate bound what a limit may be: beyond, it was meant to
	// be another unit.
	maxCount = 1_000_000
	maxRate  = 1_000_000_000_000 // bits per second

	// maxRevoked bounds the serial numbers that a bitmap of a KRL spans: OpenSSH
	// writes bitmaps of at most 256 KiB.
	maxBitmap = 256 << 10 // bytes
)
