package proto

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Type is the type of a control message. A peer that doesn't know a type
// ignores the message if the type is 128 or more, and ends the session with
// CodeMalformed otherwise.
type Type byte

// The types of control messages.
const (
	TypeBind    Type = 1 // agent to relay
	TypeBound   Type = 2 // relay to agent
	TypeRefused Type = 3 // relay to agent
	TypeUnbind  Type = 4 // agent to relay
	TypeUnbound Type = 5 // relay to agent
	TypeClose   Type = 6 // either way
)

// firstOptional is the first type, of messages and of records, that a peer
// ignores if it doesn't know it.
const firstOptional = 128

// Message is a control message: Bind, Bound, Refused, Unbind, Unbound or Close.
type Message interface {
	// messageType and appendBody keep the set closed.
	messageType() Type
	appendBody(b []byte) []byte
}

// Bind asks the relay to open a public UDP socket for a forward. Asked again
// for a forward that is bound it is answered Bound again, so it may be
// repeated on another lane when an answer was lost.
type Bind struct {
	Forward uint32 // chosen by the agent, unique in the session
	Host    string // bind address as in RFC 4254 §7.1: "" is every address, "localhost" loopback
	Port    uint16 // 0 lets the relay choose
}

// Bound says that a forward's socket is open.
type Bound struct {
	Forward uint32
	Host    string // the address bound, as asked for or as a literal; "" for every address
	Port    uint16 // the port bound, never 0
}

// Refused says that a forward's socket couldn't be opened.
type Refused struct {
	Forward uint32
	Code    Code
	Text    string
}

// Unbind asks the relay to close a forward's socket and forget its flows. It
// is answered Unbound.
type Unbind struct{ Forward uint32 }

// Unbound says that a forward's socket is closed, because the agent asked for
// it or for the reason given.
type Unbound struct {
	Forward uint32
	Code    Code // CodeOK when asked for
	Text    string
}

// Close ends the whole session at once and on purpose: the relay frees its
// ports instead of keeping them for an agent that comes back.
type Close struct {
	Code Code
	Text string
}

func (Bind) messageType() Type    { return TypeBind }
func (Bound) messageType() Type   { return TypeBound }
func (Refused) messageType() Type { return TypeRefused }
func (Unbind) messageType() Type  { return TypeUnbind }
func (Unbound) messageType() Type { return TypeUnbound }
func (Close) messageType() Type   { return TypeClose }

func (m Bind) appendBody(b []byte) []byte {
	return appendAddress(binary.BigEndian.AppendUint32(b, m.Forward), m.Host, m.Port)
}

func (m Bound) appendBody(b []byte) []byte {
	return appendAddress(binary.BigEndian.AppendUint32(b, m.Forward), m.Host, m.Port)
}

func (m Refused) appendBody(b []byte) []byte {
	return appendReason(binary.BigEndian.AppendUint32(b, m.Forward), m.Code, m.Text)
}

func (m Unbind) appendBody(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, m.Forward)
}

func (m Unbound) appendBody(b []byte) []byte {
	return appendReason(binary.BigEndian.AppendUint32(b, m.Forward), m.Code, m.Text)
}

func (m Close) appendBody(b []byte) []byte { return appendReason(b, m.Code, m.Text) }

func appendAddress(b []byte, host string, port uint16) []byte {
	return binary.BigEndian.AppendUint16(appendShort(b, host, MaxHost), port)
}

func appendReason(b []byte, code Code, text string) []byte {
	return appendLong(append(b, byte(code)), text, MaxText)
}

// AppendMessage appends m in wire form: its type, the length of its body, and
// its body. Strings beyond their limits are cut.
func AppendMessage(b []byte, m Message) []byte {
	b = append(b, byte(m.messageType()), 0, 0)
	start := len(b)
	b = m.appendBody(b)
	binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start)) // #nosec G115 -- its strings are cut
	return b
}

// ReadMessage reads the next control message and skips those it may ignore.
// At the end of the stream between messages it returns io.EOF as it is.
func ReadMessage(r io.Reader) (Message, error) {
	for {
		var head [3]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if err == io.EOF {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("read control message: %w", err)
		}
		n := int(binary.BigEndian.Uint16(head[1:]))
		if n > MaxControl {
			return nil, malformed("a control message of %d bytes, at most %d are allowed", n, MaxControl)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read control message: %w", err)
		}
		m, err := parseMessage(Type(head[0]), body)
		if err != nil || m != nil {
			return m, err
		}
	}
}

// parseMessage is nil, nil for a message to ignore. Bytes after the last field
// belong to a newer version and are ignored.
func parseMessage(t Type, body []byte) (Message, error) {
	c := cursor{rest: body}
	var m Message
	switch t {
	case TypeBind:
		m = Bind{Forward: c.uint32(), Host: c.short(MaxHost), Port: c.uint16()}
	case TypeBound:
		m = Bound{Forward: c.uint32(), Host: c.short(MaxHost), Port: c.uint16()}
	case TypeRefused:
		m = Refused{Forward: c.uint32(), Code: Code(c.uint8()), Text: c.long(MaxText)}
	case TypeUnbind:
		m = Unbind{Forward: c.uint32()}
	case TypeUnbound:
		m = Unbound{Forward: c.uint32(), Code: Code(c.uint8()), Text: c.long(MaxText)}
	case TypeClose:
		m = Close{Code: Code(c.uint8()), Text: c.long(MaxText)}
	default:
		if t >= firstOptional {
			return nil, nil
		}
		return nil, malformed("control message of unknown type %d", t)
	}
	if c.bad {
		return nil, malformed("control message of type %d is cut short or has a field too long", t)
	}
	return m, nil
}
