package resume

import (
	"fmt"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// drain takes the requests of a channel for as long as there are any: were they
// left alone, x/crypto/ssh would stop to read the whole connection. It therefore
// never waits for anything else.
func (c *Conn) drain(a *attachment) {
	defer close(a.released)
	for request := range a.requests {
		known := c.handle(a, request)
		if request.WantReply {
			_ = request.Reply(known, nil) // fails only if the channel is gone
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose(a)
}

// handle says whether it knows what the request is.
func (c *Conn) handle(a *attachment, request *ssh.Request) (known bool) {
	var err error
	switch request.Type {
	case sshwire.RequestAck:
		err = with(request, sshwire.ParseAck, func(ack sshwire.Ack) { c.acked(a, ack.Position) })
	case sshwire.RequestEnd:
		err = with(request, sshwire.ParseEnd, func(end sshwire.End) { c.ended(a, end.Total) })
	case sshwire.RequestReset:
		if err = sshwire.ParseReset(request.Payload); err == nil {
			err = ErrReset
		}
	case sshwire.RequestWindowAsk:
		err = with(request, sshwire.ParseWindowAsk, func(ask sshwire.WindowAsk) { c.asked(a, ask.Position) })
	case sshwire.RequestWindowGrant:
		err = with(request, sshwire.ParseWindowGrant, func(grant sshwire.WindowGrant) { c.granted(a, uint64(grant.Window)) })
	case sshwire.RequestWindowBegin:
		err = with(request, sshwire.ParseWindowBegin, func(begin sshwire.WindowBegin) { c.begun(a, begin.Position) })
	case sshwire.RequestData:
		err = with(request, sshwire.ParseData, func(data []byte) { c.came(a, data) })
	case sshwire.RequestWindowEnd:
		if err = sshwire.ParseWindowEnd(request.Payload); err == nil {
			c.narrowed(a)
		}
	default:
		return false
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.at == a && err == ErrReset {
			c.reset(err, false)
		} else if c.at == a {
			c.reset(fmt.Errorf("%w: %w", ErrProtocol, err), true)
		}
	}
	return true
}

// with has use take the message of a request, if it can be read.
func with[M any](request *ssh.Request, parse func([]byte) (M, error), use func(M)) error {
	message, err := parse(request.Payload)
	if err == nil {
		use(message)
	}
	return err
}

// closeChannel may block for as long as the connection below is stuck.
func closeChannel(channel ssh.Channel, reset bool) {
	if reset {
		_, _ = channel.SendRequest(sshwire.RequestReset, false, nil) // fails only if the channel is gone
	}
	_ = channel.Close() // likewise
}
