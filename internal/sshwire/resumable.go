package sshwire

import (
	"errors"
	"fmt"
)

// ChannelResumable is funnel's own variant of ChannelForwarded for connections
// that outlive the link: a Resumable. proto/RESUME.md is the text of what goes
// over it.
const ChannelResumable = "resumable-tcpip@funnel.internal"

// Names of requests on a resumable channel. None of them wants an answer.
const (
	RequestAck   = "ack@funnel.internal"   // an Ack
	RequestEnd   = "end@funnel.internal"   // an End
	RequestReset = "reset@funnel.internal" // no payload; see ParseReset
)

// Resumable opens a channel for a connection to a forwarded port, or goes on
// with one whose channel was lost. The first four fields are those of Forwarded.
// Encode it with ssh.Marshal.
type Resumable struct {
	Address       string
	Port          uint32
	OriginAddress string
	OriginPort    uint32

	Conn     uint64 // names the connection as long as both ends know it
	Received uint64 // the position of what the opener has received; 0 in a new connection
	Resumed  bool   // go on with a connection that the other end knows
}

// Forwarded is what a ChannelForwarded would say of the same connection.
func (m Resumable) Forwarded() Forwarded {
	return Forwarded{m.Address, m.Port, m.OriginAddress, m.OriginPort}
}

// Ack says what of a connection was received. Position counts bytes from the
// connection's beginning, and its end as one more.
type Ack struct {
	Position uint64
}

// End says that the sender's direction of a connection has Total bytes, all of
// which are sent.
type End struct {
	Total uint64
}

// maxTotal bounds the bytes of a direction, so that the position behind its end
// is a number, too.
const maxTotal = 1<<63 - 1

// ParseResumable decodes the data of a ChannelResumable. The ports are as in
// ParseForwarded. Received is at most 2^63, and 0 unless Resumed.
func ParseResumable(payload []byte) (Resumable, error) {
	var m Resumable
	err := parse(payload, &m)
	if err == nil {
		err = errors.Join(check(m.Address, m.Port, 1), check(m.OriginAddress, m.OriginPort, 0),
			checkPosition(m.Received, maxTotal+1))
	}
	switch {
	case err != nil:
	case payload[len(payload)-1] > 1:
		err = errors.New("a boolean is neither 0 nor 1") // RFC 4251 §5
	case !m.Resumed && m.Received != 0:
		err = fmt.Errorf("%d bytes received in a new connection", m.Received)
	}
	return m, wrap(ChannelResumable, err)
}

// ParseAck decodes the payload of RequestAck. The position is at most 2^63.
func ParseAck(payload []byte) (Ack, error) {
	var m Ack
	err := parse(payload, &m)
	if err == nil {
		err = checkPosition(m.Position, maxTotal+1)
	}
	return m, wrap(RequestAck, err)
}

// ParseEnd decodes the payload of RequestEnd. The total is below 2^63.
func ParseEnd(payload []byte) (End, error) {
	var m End
	err := parse(payload, &m)
	if err == nil {
		err = checkPosition(m.Total, maxTotal)
	}
	return m, wrap(RequestEnd, err)
}

// ParseReset checks the payload of RequestReset, which is empty.
func ParseReset(payload []byte) error {
	return wrap(RequestReset, checkEmpty(payload))
}

func checkPosition(position, most uint64) error {
	if position > most {
		return fmt.Errorf("position %d is beyond %d", position, most)
	}
	return nil
}
