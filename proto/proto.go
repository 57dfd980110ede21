// Package proto is the wire format of UDP over SSH: what an agent and a relay
// say to each other on the channel of the [Subsystem]. SPEC.md, beside this
// file, is the same in words; its hexadecimal examples are this package's
// test vectors.
//
// All numbers are in network byte order. Decoders never panic, never read
// past a message, and never allocate more than the limits below, whatever
// the peer sends.
package proto

// Subsystem is the SSH subsystem (RFC 4254 §6.5) that carries UDP. The name
// is of the private form name@domain (RFC 4251 §6); "internal" is the
// top-level domain ICANN reserved for private use, so nobody else's name can
// collide with it.
const Subsystem = "udp@funnel.internal"

// Versions of the protocol this package speaks.
const (
	Version       = 1 // the newest
	LowestVersion = 1 // the oldest
)

// Limits of the format.
const (
	// MaxDatagram is the largest UDP payload over IPv4: 65,535 bytes less
	// 20 of IPv4 header and 8 of UDP header (RFC 768, RFC 791).
	MaxDatagram = 65507

	// MaxHello bounds the body of a hello or welcome, so that a peer which
	// hasn't shown a session yet can make us hold at most this.
	MaxHello = 1024

	// MaxControl bounds the body of a control message. The largest field
	// in one is a sentence for a person.
	MaxControl = 2048

	// MaxExtension bounds the body of a record that isn't a datagram.
	MaxExtension = 1024

	// MaxName bounds an agent's name.
	MaxName = 64

	// MaxHost bounds a bind address: the longest domain name (RFC 1035
	// §2.3.4) is longer than any literal address.
	MaxHost = 255

	// MaxText bounds a sentence meant for a person.
	MaxText = 1024
)

// Kind is the first byte of a smux stream and says what the stream carries.
// The agent opens one stream of each kind on each lane.
type Kind byte

// The kinds of streams.
const (
	KindControl Kind = 1 // control messages
	KindRecords Kind = 2 // datagrams and other records
)

// Token names a session. The relay makes it of 16 random bytes; it joins
// further lanes of the same key to the session. The zero Token asks for a new
// session.
type Token [16]byte

// Features are optional parts of the protocol, a bit each. A peer uses a
// feature only if both sides announced it. Version 1 defines none.
type Features uint64
