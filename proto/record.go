package proto

import (
	"encoding/binary"
	"net/netip"
)

// DatagramHeader is the length of what precedes a datagram's payload: its
// length, flow and sequence number.
const DatagramHeader = 2 + 4 + 4

// A record that isn't a datagram starts with extensionMarker, which no
// datagram's length can be, then its type and the length of its body. The type
// has a byte of its own as there are but 28 values above MaxDatagram.
const (
	extensionMarker = 0xffff
	extensionHeader = 2 + 1 + 2

	extensionFlow = 1
	extensionGone = 2
	extensionMark = 3
	extensionEcho = 4
)

// MaxFlowRecord is the most bytes AppendFlow appends.
const MaxFlowRecord = extensionHeader + 4 + 4 + 1 + 16 + 2

// FlowHeader announces a flow: from here on its number stands for this client
// on this forward. The relay sends it on each lane before the flow's first
// datagram there, and waits for no answer.
type FlowHeader struct {
	Flow    uint32 // unique in the session, never used again in it
	Forward uint32 // as in Bind
	Client  netip.AddrPort
}

// GoneReason says why a flow ended.
type GoneReason byte

// The reasons.
const (
	GoneIdle    GoneReason = 1 // no datagram either way for the sender's idle time
	GoneEvicted GoneReason = 2 // the sender's table was full and this flow idle the longest
	GoneUnknown GoneReason = 3 // the sender doesn't know the flow; announce it anew
	GoneUnbound GoneReason = 4 // its forward was unbound
)

// AppendDatagram appends the record of one datagram. Its payload must not be
// longer than MaxDatagram; sequence counts the datagrams of the flow in this
// direction from 1, wraps, and is the same on every copy.
func AppendDatagram(b []byte, flow, sequence uint32, payload []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload))) // #nosec G115 -- at most MaxDatagram, as the caller knows
	b = binary.BigEndian.AppendUint32(b, flow)
	b = binary.BigEndian.AppendUint32(b, sequence)
	return append(b, payload...)
}

// AppendFlow appends a record that announces a flow. A zone in the client's
// address is left out: it means nothing to another host.
func AppendFlow(b []byte, h FlowHeader) []byte {
	b, body := appendExtension(b, extensionFlow)
	b = binary.BigEndian.AppendUint32(b, h.Flow)
	b = binary.BigEndian.AppendUint32(b, h.Forward)
	addr := h.Client.Addr().Unmap()
	if addr.Is4() {
		a := addr.As4()
		b = append(append(b, 4), a[:]...)
	} else {
		a := addr.As16()
		b = append(append(b, 6), a[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, h.Client.Port())
	return closeExtension(b, body)
}

// AppendGone appends a record that says that its sender has forgotten a flow.
// Whoever reads it forgets the flow too; a client that goes on gets a new one.
func AppendGone(b []byte, flow uint32, reason GoneReason) []byte {
	b, body := appendExtension(b, extensionGone)
	b = append(binary.BigEndian.AppendUint32(b, flow), byte(reason))
	return closeExtension(b, body)
}

// AppendMark appends a record that asks for an echo of value on the same lane.
func AppendMark(b []byte, value uint64) []byte {
	b, body := appendExtension(b, extensionMark)
	return closeExtension(binary.BigEndian.AppendUint64(b, value), body)
}

// AppendEcho appends the answer to a mark.
func AppendEcho(b []byte, value uint64) []byte {
	b, body := appendExtension(b, extensionEcho)
	return closeExtension(binary.BigEndian.AppendUint64(b, value), body)
}

func appendExtension(b []byte, kind byte) (_ []byte, body int) {
	b = binary.BigEndian.AppendUint16(b, extensionMarker)
	b = append(b, kind, 0, 0)
	return b, len(b)
}

func closeExtension(b []byte, body int) []byte {
	binary.BigEndian.PutUint16(b[body-2:], uint16(len(b)-body)) // #nosec G115 -- a few bytes
	return b
}
