package sshwire

import "time"

const (
	// maxPort is the highest port of TCP, where the messages have room for 32
	// bits.
	maxPort = 65535

	// maxText bounds addresses and names in bytes: the longest domain name
	// (RFC 1035 §2.3.4) is longer than any literal address.
	maxText = 255

	// maxReason bounds the reason of a refusal in bytes: a few lines.
	maxReason = 1024

	// rekeyThreshold is after how many bytes we ask for new keys. During the
	// exchange no data flows for a round trip or two, which a game would feel,
	// so it should be rare. x/crypto/ssh asks after 64 GiB with AES, whose
	// 128-bit blocks are the reason (RFC 4344 §3.2), but after 1 GiB with
	// ChaCha20-Poly1305, following advice that RFC 4253 §9 gave for ciphers of
	// its time. ChaCha20-Poly1305 bounds the number of packets, not of bytes,
	// and x/crypto/ssh obeys that bound anyway (2^31 packets).
	rekeyThreshold = 64 << 30

	// authTries is how many keys a client may offer, as in sshd.
	authTries = 6

	// backlogLimit is up to how many bytes of ours may wait to be acknowledged
	// while the peer's silence still counts against it. With more than that, a
	// slow line may not have delivered our question yet. 64 KiB take less than
	// the default of 15 s even at 50 kbit/s.
	backlogLimit = 64 << 10

	// quietInUse is how long a link in use is silent before its peer is asked, and
	// answerLeast how long, with answerRTTs round trips but answerMost at most, an
	// answer may take before there is doubt: together about a second. A lost
	// segment is sent again after 200 ms and a round trip, so that a single loss
	// raises no doubt.
	quietInUse  = 400 * time.Millisecond
	answerLeast = 400 * time.Millisecond
	answerRTTs  = 4
	answerMost  = 3 * time.Second

	// lookInUse is how often a Vigil looks at what has moved over a link in use,
	// and how soon after the first byte over an idle one. While nothing moves there
	// is no look before it is time to ask: each wakes the process, and an idle agent
	// has five links.
	lookInUse = 100 * time.Millisecond

	// usedFor is how long after the last time a link counts as in use, and
	// idleBytes what may move usedWithin without any use: a question and its answer.
	usedFor    = 2 * time.Second
	usedWithin = time.Second
	idleBytes  = 300

	// failWithin bounds how long a write to a closed connection may take to fail:
	// it has nothing to wait for but the scheduler.
	failWithin = 100 * time.Millisecond
)
