package proto

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// The records as values; a flow is its FlowHeader.
type (
	datagramRecord struct {
		Flow, Sequence uint32
		Payload        string
	}
	goneRecord struct {
		Flow   uint32
		Reason GoneReason
	}
	markRecord uint64
	echoRecord uint64
)

// recorder is a Receiver that keeps what it is told.
type recorder struct {
	records []any
	// payloads are the slices as delivered, to see how long they stay valid.
	payloads [][]byte
}

func (r *recorder) Datagram(flow, sequence uint32, payload []byte) {
	r.records = append(r.records, datagramRecord{flow, sequence, string(payload)})
	r.payloads = append(r.payloads, payload)
}
func (r *recorder) Flow(h FlowHeader) { r.records = append(r.records, h) }
func (r *recorder) Gone(flow uint32, why GoneReason) {
	r.records = append(r.records, goneRecord{flow, why})
}
func (r *recorder) Mark(value uint64) { r.records = append(r.records, markRecord(value)) }
func (r *recorder) Echo(value uint64) { r.records = append(r.records, echoRecord(value)) }

// appendRecord encodes one of the values above.
func appendRecord(b []byte, record any) []byte {
	switch r := record.(type) {
	case datagramRecord:
		return AppendDatagram(b, r.Flow, r.Sequence, []byte(r.Payload))
	case FlowHeader:
		return AppendFlow(b, r)
	case goneRecord:
		return AppendGone(b, r.Flow, r.Reason)
	case markRecord:
		return AppendMark(b, uint64(r))
	case echoRecord:
		return AppendEcho(b, uint64(r))
	}
	panic(fmt.Sprintf("no record: %T", record))
}

func appendRecords(b []byte, records []any) []byte {
	for _, r := range records {
		b = appendRecord(b, r)
	}
	return b
}

// decodeAll decodes pieces one after the other, to the first error.
func decodeAll(pieces ...[]byte) ([]any, error) {
	var r recorder
	var d Decoder
	for _, p := range pieces {
		if err := d.Decode(p, &r); err != nil {
			return r.records, err
		}
	}
	return r.records, nil
}

// everyRecord is one of each, small enough to be cut at every pair of places.
func everyRecord() []any {
	return []any{
		FlowHeader{Flow: 7, Forward: 1, Client: netip.MustParseAddrPort("203.0.113.9:50000")},
		datagramRecord{7, 1, "ping"},
		datagramRecord{7, math.MaxUint32, ""},
		markRecord(12345),
		FlowHeader{Flow: math.MaxUint32, Forward: math.MaxUint32, Client: netip.MustParseAddrPort("[2001:db8::9]:65535")},
		datagramRecord{math.MaxUint32, 0, "a payload that is a little longer"},
		echoRecord(math.MaxUint64),
		goneRecord{7, GoneUnbound},
		datagramRecord{8, 9, "x"},
	}
}

// randomRecord is any record but a long datagram, or at times that too.
func randomRecord(r *rand.Rand) any {
	switch r.IntN(8) {
	case 0:
		addr := netip.AddrFrom4([4]byte{10, 0, byte(r.Uint32()), byte(r.Uint32())})
		return FlowHeader{Flow: r.Uint32(), Forward: r.Uint32(), Client: netip.AddrPortFrom(addr, uint16(r.Uint32()))}
	case 1:
		addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.Uint32())})
		return FlowHeader{Flow: r.Uint32(), Forward: r.Uint32(), Client: netip.AddrPortFrom(addr, uint16(r.Uint32()))}
	case 2:
		return goneRecord{r.Uint32(), GoneReason(r.Uint32())}
	case 3:
		return markRecord(r.Uint64())
	case 4:
		return echoRecord(r.Uint64())
	case 5:
		return datagramRecord{r.Uint32(), r.Uint32(), randomText(r, r.IntN(MaxDatagram+1))}
	default:
		return datagramRecord{r.Uint32(), r.Uint32(), randomText(r, r.IntN(1500))}
	}
}

func randomText(r *rand.Rand, n int) string {
	var b strings.Builder
	b.Grow(n)
	for range n {
		b.WriteByte(byte(r.Uint32()))
	}
	return b.String()
}

// cut divides b at random into pieces, each a copy, some of them empty.
func cut(r *rand.Rand, b []byte, mean int) [][]byte {
	var pieces [][]byte
	for len(b) > 0 {
		n := min(r.IntN(2*mean+1), len(b))
		pieces = append(pieces, append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	return pieces
}
