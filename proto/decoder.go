package proto

import (
	"encoding/binary"
	"net/netip"
)

// Receiver is told the records a [Decoder] finds. Payloads are valid until
// the Decode call after the one that delivered them.
type Receiver interface {
	Datagram(flow, sequence uint32, payload []byte)
	Flow(h FlowHeader)
	Gone(flow uint32, reason GoneReason)
	Mark(value uint64)
	Echo(value uint64)
}

// Decoder takes a lane's byte stream apart into records. The stream comes in
// pieces cut anywhere; a record that is whole within a piece is delivered
// from there without a copy. The zero Decoder is ready. Not safe for
// concurrent use.
type Decoder struct {
	// partial holds the start of a record that the last piece cut; spare is
	// what it swaps with, as payloads delivered from the one must outlive
	// the tail that the same call puts aside in the other.
	partial, spare []byte
}

// Decode delivers every record that p completes. An error, which wraps
// ErrMalformed, means that the stream is lost: the decoder must not be used
// again.
func (d *Decoder) Decode(p []byte, r Receiver) error {
	if len(d.partial) > 0 {
		rest, done, err := d.finish(p, r)
		if err != nil || !done {
			return err
		}
		p = rest
	}
	for {
		n, err := recordLength(p)
		if err != nil {
			return err
		}
		if n == 0 || n > len(p) {
			d.partial = append(d.partial[:0], p...)
			return nil
		}
		if err := deliver(p[:n:n], r); err != nil {
			return err
		}
		p = p[n:]
	}
}

// finish adds from p to the partial record until it is whole and delivers it.
func (d *Decoder) finish(p []byte, r Receiver) (rest []byte, done bool, err error) {
	for {
		n, err := recordLength(d.partial)
		if err != nil {
			return nil, false, err
		}
		want := n
		if n == 0 { // the length itself isn't whole yet
			want = len(d.partial) + 1
		}
		take := min(want-len(d.partial), len(p))
		d.partial = append(d.partial, p[:take]...)
		p = p[take:]
		if n > 0 && len(d.partial) == n {
			whole := d.partial
			d.partial, d.spare = d.spare[:0], whole
			return p, true, deliver(whole, r)
		}
		if len(p) == 0 && take == 0 {
			return nil, false, nil
		}
	}
}

// recordLength is the length of the record at the front of p, or 0 if p is too
// short to tell.
func recordLength(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, nil
	}
	first := int(binary.BigEndian.Uint16(p))
	if first <= MaxDatagram {
		return DatagramHeader + first, nil
	}
	if first != extensionMarker {
		return 0, malformed("a datagram of %d bytes, at most %d are possible", first, MaxDatagram)
	}
	if len(p) < extensionHeader {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[3:]))
	if n > MaxExtension {
		return 0, malformed("a record of type %d with %d bytes, at most %d are allowed", p[2], n, MaxExtension)
	}
	return extensionHeader + n, nil
}

// deliver tells r of the one whole record p.
func deliver(p []byte, r Receiver) error {
	first := binary.BigEndian.Uint16(p)
	if first <= MaxDatagram {
		r.Datagram(binary.BigEndian.Uint32(p[2:]), binary.BigEndian.Uint32(p[6:]), p[DatagramHeader:])
		return nil
	}
	kind := p[2]
	c := cursor{rest: p[extensionHeader:]}
	switch kind {
	case extensionFlow:
		return deliverFlow(&c, r)
	case extensionGone:
		flow, reason := c.uint32(), GoneReason(c.uint8())
		if !c.bad {
			r.Gone(flow, reason)
		}
	case extensionMark:
		if value := c.uint64(); !c.bad {
			r.Mark(value)
		}
	case extensionEcho:
		if value := c.uint64(); !c.bad {
			r.Echo(value)
		}
	default:
		if kind < firstOptional {
			return malformed("record of unknown type %d", kind)
		}
	}
	if c.bad {
		return malformed("record of type %d is cut short", kind)
	}
	return nil
}

func deliverFlow(c *cursor, r Receiver) error {
	h := FlowHeader{Flow: c.uint32(), Forward: c.uint32()}
	var addr netip.Addr
	switch family := c.uint8(); family {
	case 4:
		if b := c.take(4); b != nil {
			addr = netip.AddrFrom4([4]byte(b))
		}
	case 6:
		if b := c.take(16); b != nil {
			addr = netip.AddrFrom16([16]byte(b)).Unmap()
		}
	default:
		return malformed("flow header with address family %d, 4 or 6 expected", family)
	}
	h.Client = netip.AddrPortFrom(addr, c.uint16())
	if c.bad {
		return malformed("flow header is cut short")
	}
	r.Flow(h)
	return nil
}
