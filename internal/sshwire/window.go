package sshwire

import "fmt"

// Names of requests on a resumable channel by which a direction goes beyond the
// window of its channel. None of them wants an answer; who doesn't know them
// ignores them. proto/RESUME.md, section 5, says what they mean.
const (
	RequestWindowAsk   = "window-ask@funnel.internal"   // a WindowAsk
	RequestWindowGrant = "window-grant@funnel.internal" // a WindowGrant
	RequestWindowBegin = "window-begin@funnel.internal" // a WindowBegin
	RequestData        = "data@funnel.internal"         // bytes of the connection; see ParseData
	RequestWindowEnd   = "window-end@funnel.internal"   // no payload; see ParseWindowEnd
)

// MaxData is how many bytes a RequestData has at most: what a channel's packet
// has (RFC 4253 §6.1).
const MaxData = 32 << 10

// MinWindow is the least that a WindowGrant grants: some times what a receiver
// may keep an ack back for.
const MinWindow = 1 << 20

// WindowAsk says that the sender has sent the bytes before Position, and is held
// back by the window of the channel.
type WindowAsk struct {
	Position uint64
}

// WindowGrant lets the other end send Window bytes, in RequestData, beyond what
// was acknowledged.
type WindowGrant struct {
	Window uint32
}

// WindowBegin says that the bytes from Position on come in RequestData.
type WindowBegin struct {
	Position uint64
}

// ParseWindowAsk decodes the payload of RequestWindowAsk. The position is below
// 2^63.
func ParseWindowAsk(payload []byte) (WindowAsk, error) {
	var m WindowAsk
	err := parse(payload, &m)
	if err == nil {
		err = checkPosition(m.Position, maxTotal)
	}
	return m, wrap(RequestWindowAsk, err)
}

// ParseWindowGrant decodes the payload of RequestWindowGrant. The window is at
// least MinWindow.
func ParseWindowGrant(payload []byte) (WindowGrant, error) {
	var m WindowGrant
	err := parse(payload, &m)
	if err == nil && m.Window < MinWindow {
		err = fmt.Errorf("a window of %d bytes, which is less than %d", m.Window, MinWindow)
	}
	return m, wrap(RequestWindowGrant, err)
}

// ParseWindowBegin decodes the payload of RequestWindowBegin. The position is
// below 2^63.
func ParseWindowBegin(payload []byte) (WindowBegin, error) {
	var m WindowBegin
	err := parse(payload, &m)
	if err == nil {
		err = checkPosition(m.Position, maxTotal)
	}
	return m, wrap(RequestWindowBegin, err)
}

// ParseData checks the payload of RequestData and returns it: 1 to MaxData bytes
// of the connection.
func ParseData(payload []byte) ([]byte, error) {
	if len(payload) == 0 || len(payload) > MaxData {
		return nil, wrap(RequestData, fmt.Errorf("%d bytes, which is not 1 to %d", len(payload), MaxData))
	}
	return payload, nil
}

// ParseWindowEnd checks the payload of RequestWindowEnd, which is empty.
func ParseWindowEnd(payload []byte) error {
	return wrap(RequestWindowEnd, checkEmpty(payload))
}

func checkEmpty(payload []byte) error {
	if len(payload) > 0 {
		return fmt.Errorf("a payload of %d bytes", len(payload))
	}
	return nil
}
