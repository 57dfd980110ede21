package proto

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rawRecord is a record other than a datagram, of any type and body.
func rawRecord(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, 0xff, kind}, uint16(len(body))), body...)
}

// requireDecodes decodes pieces, each in a buffer of its own, and looks at
// every payload when the call that delivered it has returned.
func requireDecodes(t *testing.T, want []any, pieces ...[]byte) {
	t.Helper()
	var r recorder
	var d Decoder
	for _, p := range pieces {
		r.payloads = r.payloads[:0]
		before := len(r.records)
		if err := d.Decode(p, &r); err != nil {
			require.NoError(t, err)
		}
		for _, record := range r.records[before:] {
			if g, ok := record.(datagramRecord); ok {
				if string(r.payloads[0]) != g.Payload {
					require.Equal(t, g.Payload, string(r.payloads[0]), "overwritten before the next call")
				}
				r.payloads = r.payloads[1:]
			}
		}
	}
	require.Equal(t, want, r.records)
	require.Empty(t, d.partial)
}

func TestDecoderWhole(t *testing.T) {
	requireDecodes(t, everyRecord(), appendRecords(nil, everyRecord()))
}

func TestDecoderByteByByte(t *testing.T) {
	var pieces [][]byte
	for _, c := range appendRecords(nil, everyRecord()) {
		pieces = append(pieces, []byte{c})
	}
	requireDecodes(t, everyRecord(), pieces...)
}

func TestDecoderCutAtEveryPairOfPlaces(t *testing.T) {
	want := everyRecord()
	b := appendRecords(nil, want)
	for i := range b {
		for j := i; j <= len(b); j++ {
			requireDecodes(t, want, b[:i], b[i:j], b[j:])
		}
	}
}

func TestDecoderCutAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, mean := range []int{3, 100, 1500, 32760, 200_000} {
		for range 3 {
			var want []any
			for range 30 {
				want = append(want, randomRecord(r))
			}
			requireDecodes(t, want, cut(r, appendRecords(nil, want), mean)...)
		}
	}
}

func TestDecoderEmptyPieces(t *testing.T) {
	b := appendRecords(nil, everyRecord())
	requireDecodes(t, everyRecord(), nil, b[:1], nil, []byte{}, b[1:7], nil, b[7:], nil)
}

func TestDatagramLengths(t *testing.T) {
	// 65281 to 65507 are the lengths that look most like another record.
	for _, n := range []int{0, 1, 255, 256, 1200, 32760, 65279, 65280, 65281, 65283, 65506, MaxDatagram} {
		want := []any{datagramRecord{1, 2, strings.Repeat("d", n)}, markRecord(3)}
		b := appendRecords(nil, want)
		require.Len(t, b, DatagramHeader+n+5+8)
		requireDecodes(t, want, b)
		for _, at := range []int{1, 2, 9, DatagramHeader, DatagramHeader + n, DatagramHeader + n + 4} {
			requireDecodes(t, want, b[:at], b[at:])
		}
	}
}

// TestDecoderPayloadOutlivesTail: the record that a call finishes and the tail
// that the same call puts aside must not share a buffer, call after call.
func TestDecoderPayloadOutlivesTail(t *testing.T) {
	var want []any
	for i := range 50 {
		want = append(want, datagramRecord{1, uint32(i), strings.Repeat(string(rune('a'+i%26)), 40+i)})
	}
	b := appendRecords(nil, want)
	for _, size := range []int{11, 23, 60, 61, 75, 100} {
		var pieces [][]byte
		for at := 0; at < len(b); at += size {
			pieces = append(pieces, b[at:min(at+size, len(b))])
		}
		requireDecodes(t, want, pieces...)
	}
}

// appender is a Receiver that grows the payload it was given.
type appender struct{ recorder }

func (a *appender) Datagram(flow, sequence uint32, payload []byte) {
	a.recorder.Datagram(flow, sequence, payload)
	_ = append(payload, bytes.Repeat([]byte{0xff}, 64)...)
}

func TestDecoderPayloadMayBeAppendedTo(t *testing.T) {
	b := appendRecords(nil, everyRecord())
	var a appender
	var d Decoder
	require.NoError(t, d.Decode(b[:25], &a))
	require.NoError(t, d.Decode(b[25:], &a))
	require.Equal(t, everyRecord(), a.records)
}

func TestDecoderTruncatedAnywhere(t *testing.T) {
	for _, record := range everyRecord() {
		b := appendRecord(nil, record)
		for i := range b {
			got, err := decodeAll(b[:i])
			require.NoError(t, err, "%T cut at %d may still be completed", record, i)
			require.Empty(t, got)
		}
	}
}

func TestRecordBodyTooShort(t *testing.T) {
	for _, record := range everyRecord() {
		b := appendRecord(nil, record)
		if _, ok := record.(datagramRecord); ok {
			continue // its fields don't count into its length
		}
		body := b[extensionHeader:]
		for i := range body {
			got, err := decodeAll(rawRecord(b[2], body[:i]))
			require.ErrorIs(t, err, ErrMalformed, "%T with a body of %d", record, i)
			require.Empty(t, got)
		}
		longer := append(append([]byte(nil), body...), "from a later version"...)
		got, err := decodeAll(rawRecord(b[2], longer))
		require.NoError(t, err)
		require.Equal(t, []any{record}, got)
	}
}

func TestRecordOfUnknownType(t *testing.T) {
	known := knownRecords()
	for kind := range 256 {
		if known[kind] != nil {
			continue
		}
		for _, body := range [][]byte{nil, {1}, make([]byte, MaxExtension)} {
			b := AppendMark(rawRecord(byte(kind), body), 5)
			for _, pieces := range [][][]byte{{b}, {b[:1], b[1:4], b[4:]}} {
				got, err := decodeAll(pieces...)
				if kind < 128 {
					require.ErrorIs(t, err, ErrMalformed, "type %d", kind)
					require.Empty(t, got)
					continue
				}
				require.NoError(t, err, "type %d", kind)
				require.Equal(t, []any{markRecord(5)}, got)
			}
		}
	}
}

// TestRecordLimits sees that a length beyond the limits is refused as soon as
// it can be read, in one piece or many, with nothing put aside for it.
func TestRecordLimits(t *testing.T) {
	for first := MaxDatagram + 1; first < extensionMarker; first++ {
		b := binary.BigEndian.AppendUint16(nil, uint16(first))
		_, err := decodeAll(b)
		require.ErrorIs(t, err, ErrMalformed)
		_, err = decodeAll(b[:1], b[1:])
		require.ErrorIs(t, err, ErrMalformed)
	}
	for _, kind := range []byte{0, extensionFlow, extensionEcho, 128, 255} {
		b := binary.BigEndian.AppendUint16([]byte{0xff, 0xff, kind}, MaxExtension+1)
		_, err := decodeAll(b)
		require.ErrorIs(t, err, ErrMalformed)
		_, err = decodeAll(b[:3], b[3:4], b[4:])
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestDecoderMemoryIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var b []byte
	for i := range 40 {
		b = AppendDatagram(b, 1, uint32(i), make([]byte, MaxDatagram))
	}
	var d Decoder
	for _, p := range cut(r, b, 9000) {
		require.NoError(t, d.Decode(p, &recorder{}))
		require.LessOrEqual(t, len(d.partial), DatagramHeader+MaxDatagram)
		// Go's append may round a buffer up, but not to twice its need.
		require.Less(t, cap(d.partial)+cap(d.spare), 4*(DatagramHeader+MaxDatagram))
	}
}

func TestFlowAddresses(t *testing.T) {
	tests := []struct{ give, want string }{
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1:1"}, // what a dual-stack socket says
		{"[fe80::1%eth0]:2", "[fe80::1]:2"},
		{"[::]:0", "[::]:0"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	}
	for _, test := range tests {
		b := AppendFlow(nil, FlowHeader{Flow: 1, Forward: 2, Client: netip.MustParseAddrPort(test.give)})
		require.LessOrEqual(t, len(b), MaxFlowRecord)
		plain := AppendFlow(nil, FlowHeader{Flow: 1, Forward: 2, Client: netip.MustParseAddrPort(test.want)})
		require.Equal(t, plain, b, "one address has one form on the wire")
		got, err := decodeAll(b)
		require.NoError(t, err)
		require.Equal(t, []any{FlowHeader{1, 2, netip.MustParseAddrPort(test.want)}}, got)
	}
	require.Len(t, AppendFlow(nil, FlowHeader{Client: netip.MustParseAddrPort("[2001:db8::1]:1")}), MaxFlowRecord)

	_, err := decodeAll(AppendFlow(nil, FlowHeader{}))
	require.NoError(t, err, "no client at all is encoded as something that decodes")
}

func TestAppendRecordsKeepPrefix(t *testing.T) {
	for _, record := range everyRecord() {
		b := appendRecord([]byte("before"), record)
		require.Equal(t, "before", string(b[:6]))
		requireDecodes(t, []any{record}, b[6:])
	}
}
