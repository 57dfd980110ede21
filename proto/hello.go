package proto

import (
	"encoding/binary"
	"fmt"
	"io"
)

// magic opens a hello and a welcome. Its line ending shows a channel that
// translates text, or a shell's greeting in front of us, at once.
const magic = "funnel\r\n"

// preambleLength is the magic, the version and the length of the body.
const preambleLength = len(magic) + 2 + 2

// maxWelcomeText is what a welcome has room for within MaxHello, with a quarter
// left for fields of versions to come.
const maxWelcomeText = MaxHello * 3 / 4

// Hello is the agent's first message on a lane. Every version of the protocol
// starts with it in this form, so that two that can't talk can say so.
type Hello struct {
	Version  uint16 // the newest the agent speaks
	Lowest   uint16 // the oldest the agent speaks
	Features Features
	Session  Token  // the session to join; zero for a new one
	Name     string // for the relay's log, at most MaxName bytes

	// Lane numbers the agent's lanes from 1: a new one with the number of one that
	// is there replaces it. Zero, of an agent that doesn't number them, doesn't.
	Lane uint8
	// Agent is the same whenever the agent runs, and Generation higher each time
	// it is started: it takes ports from its sessions with lower ones. Zero is
	// nobody.
	Agent      [AgentSize]byte
	Generation uint64
}

// AgentSize is the length in bytes of what tells agents apart.
const AgentSize = 16

// Append appends h in wire form.
func (h Hello) Append(b []byte) []byte {
	b, body := appendPreamble(b, h.Version)
	b = binary.BigEndian.AppendUint16(b, h.Lowest)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Features))
	b = append(b, h.Session[:]...)
	b = appendShort(b, h.Name, MaxName)
	b = append(b, h.Lane)
	b = append(b, h.Agent[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Generation)
	return closePreamble(b, body)
}

// ReadHello reads a hello. Bytes after the last field it knows belong to a
// newer version and are ignored. A stream that ends inside is
// io.ErrUnexpectedEOF.
func ReadHello(r io.Reader) (Hello, error) {
	version, body, err := readPreamble(r)
	if err != nil {
		return Hello{}, fmt.Errorf("read hello: %w", err)
	}
	c := cursor{rest: body}
	h := Hello{Version: version, Lowest: c.uint16(), Features: Features(c.uint64())}
	copy(h.Session[:], c.take(len(h.Session)))
	h.Name = c.short(MaxName)
	h.Lane = c.uint8()
	copy(h.Agent[:], c.take(len(h.Agent)))
	h.Generation = c.uint64()
	if c.bad {
		return Hello{}, fmt.Errorf("read hello: %w", malformed("a field is missing or too long"))
	}
	if h.Lowest > h.Version {
		return Hello{}, fmt.Errorf("read hello: %w", malformed("lowest version %d above version %d", h.Lowest, h.Version))
	}
	return h, nil
}

// Choose is the version to speak with the agent that said h: the newest both
// know.
func (h Hello) Choose() (uint16, error) {
	version := min(h.Version, Version)
	if version < h.Lowest || version < LowestVersion {
		return 0, &Error{Code: CodeVersion, Text: fmt.Sprintf(
			"the agent speaks protocol versions %d to %d and this relay %d to %d; update the older of the two",
			h.Lowest, h.Version, LowestVersion, Version)}
	}
	return version, nil
}

// Welcome is the relay's answer to a hello.
type Welcome struct {
	Version  uint16 // the version both will speak; on refusal the relay's newest
	Code     Code   // CodeOK, or why the lane was refused
	Features Features
	Session  Token  // the session the lane belongs to now; zero on refusal
	Text     string // on refusal a sentence for a person
}

// Append appends w in wire form.
func (w Welcome) Append(b []byte) []byte {
	b, body := appendPreamble(b, w.Version)
	b = append(b, byte(w.Code))
	b = binary.BigEndian.AppendUint64(b, uint64(w.Features))
	b = append(b, w.Session[:]...)
	b = appendLong(b, w.Text, maxWelcomeText)
	return closePreamble(b, body)
}

// ReadWelcome reads a welcome; see [ReadHello]. A refusal isn't an error here:
// see [Welcome.Err].
func ReadWelcome(r io.Reader) (Welcome, error) {
	version, body, err := readPreamble(r)
	if err != nil {
		return Welcome{}, fmt.Errorf("read welcome: %w", err)
	}
	c := cursor{rest: body}
	w := Welcome{Version: version, Code: Code(c.uint8()), Features: Features(c.uint64())}
	copy(w.Session[:], c.take(len(w.Session)))
	w.Text = c.long(MaxText)
	if c.bad {
		return Welcome{}, fmt.Errorf("read welcome: %w", malformed("a field is missing or too long"))
	}
	return w, nil
}

// Err is the refusal in w as an *Error, or nil.
func (w Welcome) Err() error {
	if w.Code == CodeOK {
		return nil
	}
	return &Error{Code: w.Code, Text: w.Text}
}

// appendPreamble appends a preamble whose length closePreamble fills in.
func appendPreamble(b []byte, version uint16) (_ []byte, body int) {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, 0, 0)
	return b, len(b)
}

func closePreamble(b []byte, body int) []byte {
	binary.BigEndian.PutUint16(b[body-2:], uint16(len(b)-body)) // #nosec G115 -- its strings are cut
	return b
}

func readPreamble(r io.Reader) (version uint16, body []byte, err error) {
	var p [preambleLength]byte
	if _, err := io.ReadFull(r, p[:]); err != nil {
		return 0, nil, err
	}
	if string(p[:len(magic)]) != magic {
		return 0, nil, malformed("%q is not the start of a funnel hello", p[:len(magic)])
	}
	version = binary.BigEndian.Uint16(p[len(magic):])
	n := int(binary.BigEndian.Uint16(p[len(magic)+2:]))
	if n > MaxHello {
		return 0, nil, malformed("a hello of %d bytes, at most %d are allowed", n, MaxHello)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return version, body, nil
}
