package probe

import "encoding/binary"

// A message is its length, the run it belongs to, its number, and filling.
//
//	0      2            6            10
//	+------+------------+------------+---------
//	| size | run        | number     | filling
//	+------+------------+------------+---------
//
// Over TCP the size frames it; over UDP it tells a truncated datagram.
const headerSize = 10

// knockNumber is the number of the messages of Reach, which nobody measures.
const knockNumber = 1<<32 - 1

// newMessage returns a message of that size. The filling doesn't compress: a
// tunnel that compresses must not look as if it had carried less.
func newMessage(run uint32, size int) []byte {
	b := make([]byte, size)
	x := uint32(2463534242)
	for i := headerSize; i < size; i++ {
		x ^= x << 13 // xorshift32: Marsaglia 2003
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x) // #nosec G115 -- the low bits are meant
	}
	binary.BigEndian.PutUint16(b, uint16(size)) // #nosec G115 -- at most a datagram's
	binary.BigEndian.PutUint32(b[2:], run)
	return b
}

func setNumber(message []byte, number uint32) {
	binary.BigEndian.PutUint32(message[6:], number)
}

// parseHeader returns the message's number if it is a whole message of that run.
func parseHeader(b []byte, run uint32) (number uint32, ok bool) {
	if len(b) < headerSize || int(binary.BigEndian.Uint16(b)) != len(b) || binary.BigEndian.Uint32(b[2:]) != run {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[6:]), true
}
