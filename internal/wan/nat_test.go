package wan

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	hostA     = [4]byte{198, 18, 2, 1}
	hostB     = [4]byte{198, 18, 2, 2}
	movedB    = [4]byte{198, 18, 2, 3}
	elsewhere = [4]byte{198, 18, 1, 1}
)

// moved is a translation after Rebind of b.
func moved() *translation {
	t := &translation{subnet: netip.MustParsePrefix("198.18.2.0/24")}
	t.ends[0].inside, t.ends[0].outside = hostA, hostA
	t.ends[1].inside, t.ends[1].outside = hostB, movedB
	return t
}

// ipPacket builds a packet with right checksums, the payload's at offset at if
// it has one.
func ipPacket(protocol byte, from, to [4]byte, payload []byte, at int) []byte {
	b := make([]byte, ipv4MinHeader, ipv4MinHeader+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	copy(b[ipv4Source:], from[:])
	copy(b[ipv4Dest:], to[:])
	binary.BigEndian.PutUint16(b[ipv4Checksum:], ^sum(b))
	b = append(b, payload...)
	if at >= 0 {
		binary.BigEndian.PutUint16(b[ipv4MinHeader+at:], ^l4sum(b))
	}
	return b
}

// sum is the one's complement sum of RFC 1071, by the book.
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		if len(b)%2 == 1 {
			b = append(slices.Clone(b), 0)
		}
		for i := 0; i < len(b); i += 2 {
			s += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// l4sum is the sum that the checksum after the IP header is about.
func l4sum(b []byte) uint16 {
	rest := b[ipv4MinHeader:]
	if b[9] == protocolICMP {
		return sum(rest)
	}
	return sum(b[ipv4Source:ipv4MinHeader], []byte{0, b[9], byte(len(rest) >> 8), byte(len(rest))}, rest)
}

func requireValid(t *testing.T, b []byte) {
	t.Helper()
	require.EqualValues(t, 0xffff, sum(b[:ipv4MinHeader]))
	require.EqualValues(t, 0xffff, l4sum(b))
}

func tcpSegment(from, to uint16, flags byte) []byte {
	b := make([]byte, 20, 40)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[12], b[tcpFlags] = 5<<4, flags
	return append(b, "payload"...)
}

func udpDatagram(from, to uint16) []byte {
	b := make([]byte, 8, 16)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], 8+3)
	return append(b, "odd"...)
}

func TestTranslationBothWaysKeepsChecksumsRight(t *testing.T) {
	for name, b := range map[string][]byte{
		"tcp": ipPacket(protocolTCP, hostB, elsewhere, tcpSegment(1, 2, tcpACK), tcpChecksum),
		"udp": ipPacket(protocolUDP, hostB, elsewhere, udpDatagram(1, 2), udpChecksum),
	} {
		t.Run(name, func(t *testing.T) {
			requireValid(t, b)
			moved().leave(b, 1)
			require.Equal(t, movedB[:], b[ipv4Source:ipv4Dest])
			requireValid(t, b)

			copy(b[ipv4Source:], elsewhere[:])
			copy(b[ipv4Dest:], movedB[:])
			require.True(t, moved().arrive(b, 1))
			require.Equal(t, hostB[:], b[ipv4Dest:ipv4MinHeader])
			requireValid(t, b)
		})
	}
}

func TestTranslationLosesWhatIsSentToTheOldAddress(t *testing.T) {
	require.False(t, moved().arrive(ipPacket(protocolUDP, hostA, hostB, udpDatagram(1, 2), udpChecksum), 1))
	require.True(t, moved().arrive(ipPacket(protocolUDP, hostB, hostA, udpDatagram(1, 2), udpChecksum), 0))
	require.True(t, moved().arrive(ipPacket(protocolUDP, hostB, elsewhere, udpDatagram(1, 2), udpChecksum), 0))
}

func TestTranslationReachesIntoICMPErrors(t *testing.T) {
	about := ipPacket(protocolUDP, elsewhere, hostB, udpDatagram(1, 2), udpChecksum)
	b := ipPacket(protocolICMP, hostB, elsewhere, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, about...), 2)
	requireValid(t, b)
	moved().leave(b, 1)
	requireValid(t, b)
	inner := b[ipv4MinHeader+8:]
	require.Equal(t, movedB[:], inner[ipv4Dest:ipv4MinHeader])
	require.EqualValues(t, 0xffff, sum(inner[:ipv4MinHeader]))
}

func TestTranslationLeavesADatagramWithoutChecksumWithout(t *testing.T) {
	b := ipPacket(protocolUDP, hostB, elsewhere, udpDatagram(1, 2), -1)
	moved().leave(b, 1)
	require.Zero(t, binary.BigEndian.Uint16(b[ipv4MinHeader+udpChecksum:]))
}

func TestConnectionsForgottenPassNoMoreAndNewOnesDo(t *testing.T) {
	var c connections
	old := ipPacket(protocolTCP, hostB, hostA, tcpSegment(1, 2, tcpACK), tcpChecksum)
	require.True(t, c.knows(old, 1))
	c.forget()
	require.False(t, c.knows(old, 1))
	require.False(t, c.knows(ipPacket(protocolTCP, hostA, hostB, tcpSegment(2, 1, tcpACK), tcpChecksum), 0))
	require.False(t, c.knows(ipPacket(protocolTCP, hostA, hostB, tcpSegment(2, 1, tcpSYN|tcpACK), tcpChecksum), 0))
	require.True(t, c.knows(ipPacket(protocolUDP, hostA, hostB, udpDatagram(2, 1), udpChecksum), 0))

	require.True(t, c.knows(ipPacket(protocolTCP, hostA, hostB, tcpSegment(3, 4, tcpSYN), tcpChecksum), 0))
	require.True(t, c.knows(ipPacket(protocolTCP, hostB, hostA, tcpSegment(4, 3, tcpSYN|tcpACK), tcpChecksum), 1))
	require.True(t, c.knows(ipPacket(protocolTCP, hostA, hostB, tcpSegment(3, 4, tcpACK), tcpChecksum), 0))
	c.forget()
	require.False(t, c.knows(ipPacket(protocolTCP, hostA, hostB, tcpSegment(3, 4, tcpACK), tcpChecksum), 0))
}

// FuzzTranslate: whatever a host sends, the translation survives, and each
// sum that a checksum is about stays what it was, right or wrong.
func FuzzTranslate(f *testing.F) {
	f.Add(ipPacket(protocolTCP, hostB, movedB, tcpSegment(1, 2, tcpSYN), tcpChecksum))
	f.Add(ipPacket(protocolUDP, hostB, movedB, udpDatagram(1, 2), udpChecksum))
	f.Add(ipPacket(protocolICMP, hostB, hostA, append([]byte{3, 3, 0, 0, 0, 0, 0, 0},
		ipPacket(protocolUDP, hostA, hostB, udpDatagram(1, 2), udpChecksum)...), 2))
	f.Add([]byte{0x45})
	f.Add([]byte{0x4f, 19: 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isIPv4(b) {
			return
		}
		var c connections
		c.forget()
		c.knows(b, 1)
		// Sums are equal if they are so modulo 65,535.
		header := func() uint16 { return sum(b[:headerLen(b)]) % 0xffff }
		rest := func() uint16 {
			r := payload(b)
			switch {
			case b[9] == protocolICMP:
				return sum(r) % 0xffff
			case b[9] == protocolTCP && len(r) >= tcpChecksum+2,
				b[9] == protocolUDP && len(r) >= udpChecksum+2 && binary.BigEndian.Uint16(r[udpChecksum:]) != 0:
				return sum(b[ipv4Source:ipv4MinHeader], r) % 0xffff
			}
			return 0
		}
		wasHeader, wasRest := header(), rest()
		moved().arrive(b, 1)
		moved().leave(b, 1)
		require.Equal(t, wasHeader, header())
		require.Equal(t, wasRest, rest())
	})
}
