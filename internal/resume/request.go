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
		var ack sshwire.Ack
		if ack, err = sshwire.ParseAck(request.Payload); err == nil {
			c.acked(a, ack.Position)
		}
	case sshwire.RequestEnd:
		var end sshwire.End
		if end, err = sshwire.ParseEnd(request.Payload); err == nil {
			c.ended(a, end.Total)
		}
	case sshwire.RequestReset:
		if err = sshwire.ParseReset(request.Payload); err == nil {
			err = ErrReset
		}
	case sshwire.RequestWindowAsk:
		var ask sshwire.WindowAsk
		if ask, err = sshwire.ParseWindowAsk(request.Payload); err == nil {
			c.asked(a, ask.Position)
		}
	case sshwire.RequestWindowGrant:
		var grant sshwire.WindowGrant
		if grant, err = sshwire.ParseWindowGrant(request.Payload); err == nil {
			c.granted(a, uint64(grant.Window))
		}
	case sshwire.RequestWindowBegin:
		var begin sshwire.WindowBegin
		if begin, err = sshwire.ParseWindowBegin(request.Payload); err == nil {
			c.begun(a, begin.Position)
		}
	case sshwire.RequestData:
		var data []byte
		if data, err = sshwire.ParseData(request.Payload); err == nil {
			c.came(a, data)
		}
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

// closeChannel may block for as long as the connection below is stuck.
func closeChannel(channel ssh.Channel, reset bool) {
	if reset {
		_, _ = channel.SendRequest(sshwire.RequestReset, false, nil) // fails only if the channel is gone
	}
	_ = channel.Close() // likewise
}
