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

	// minRSA is the smallest RSA modulus in bits, as in sshd (RequiredRSASize).
	minRSA = 1024

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
)
