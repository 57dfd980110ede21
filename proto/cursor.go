package proto

import "encoding/binary"

// cursor takes fields off the front of a message. After the first field that
// isn't there all further ones read as zero and ok is false, so a decoder
// checks once, at its end.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || len(c.rest) < n {
		c.bad = true
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// short takes a string with a length byte, of at most limit bytes.
func (c *cursor) short(limit int) string {
	n := int(c.uint8())
	if n > limit {
		c.bad = true
		return ""
	}
	return string(c.take(n))
}

// long takes a string with a two-byte length, of at most limit bytes.
func (c *cursor) long(limit int) string {
	n := int(c.uint16())
	if n > limit {
		c.bad = true
		return ""
	}
	return string(c.take(n))
}

func appendShort(b []byte, s string, limit int) []byte {
	s = s[:min(len(s), limit, 255)]
	return append(append(b, byte(len(s))), s...) // #nosec G115 -- cut above
}

func appendLong(b []byte, s string, limit int) []byte {
	s = s[:min(len(s), limit)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) // #nosec G115 -- all limits are below 64 KiB
}
