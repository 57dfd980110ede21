package relay

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/pace"
	"funnel/internal/sshwire"
)

// answerRequests answers the link's global requests, one after the other, until
// the link ends, and then closes the bindings.
func (l *link) answerRequests(ctx context.Context) {
	defer l.closeBindings()
	defer l.endTest()
	for {
		select {
		case request, more := <-l.requests:
			if !more {
				return
			}
			l.answer(ctx, request)
		case <-l.changed:
			l.review()
		}
	}
}

func (l *link) answer(ctx context.Context, request *ssh.Request) {
	switch request.Type {
	case sshwire.RequestForward:
		l.forward(ctx, request)
	case sshwire.RequestCancel:
		l.cancel(request)
	case sshwire.RequestTestPorts:
		l.openTest(ctx, request)
	case sshwire.RequestKeepalive:
		reply(request, true, nil)
	default:
		reply(request, false, nil)
	}
}

// reply ignores the error: it only ever says that the link is gone.
func reply(request *ssh.Request, ok bool, payload []byte) { _ = request.Reply(ok, payload) }

// forward answers a tcpip-forward. The first client is taken only after the
// answer, which tells the agent about the port it comes from.
func (l *link) forward(ctx context.Context, request *ssh.Request) {
	message, err := sshwire.ParseForwardRequest(request.Payload)
	if err != nil {
		l.refuse(request, err.Error(), true)
		return
	}
	b, err := l.bind(message)
	if err != nil {
		_, denied := errors.AsType[*access.Denied](err)
		l.refuse(request, err.Error(), denied)
		return
	}
	var payload []byte
	if message.Port == 0 {
		payload = ssh.Marshal(sshwire.ForwardReply{Port: uint32(b.port)})
	}
	reply(request, true, payload)
	l.govern(ctx)
	l.bindings = append(l.bindings, b)
	for _, listener := range b.listeners {
		l.tasks.Go(func() { l.acceptClients(ctx, b, listener) })
	}
	l.log.Info("binding opened", "network", "tcp", "address", b.describe())
}

// govern keeps what the link's bindings carry from making datagrams wait.
func (l *link) govern(ctx context.Context) {
	if l.governed {
		return
	}
	l.governed = true
	governor := pace.New(pace.Config{
		Socket:    l.socket,
		Playing:   func() bool { return l.relay.sessions.Playing(l.grant.Fingerprint) },
		Log:       l.log,
		Rate:      l.relay.config.BulkRate,
		Transport: l.transport,
	})
	l.tasks.Go(func() { governor.Run(ctx) })
}

// refuse says no to a tcpip-forward.
func (l *link) refuse(request *ssh.Request, reason string, final bool) {
	l.logRefused("binding refused", "network", "tcp", "cause", reason)
	l.sayNo(request, reason, final)
}

// sayNo says no to a request, and why to those who understand.
func (l *link) sayNo(request *ssh.Request, reason string, final bool) {
	var payload []byte
	if sshwire.IsAgent(l.conn.ClientVersion()) {
		payload = sshwire.Refusal{Final: final, Reason: reason}.Append(nil)
	}
	reply(request, false, payload)
}

// cancel answers a cancel-tcpip-forward. Conns that are there already go on, as
// with sshd.
func (l *link) cancel(request *ssh.Request) {
	message, err := sshwire.ParseForwardRequest(request.Payload)
	if err != nil {
		reply(request, false, nil)
		return
	}
	at := l.find(message)
	if at < 0 {
		reply(request, false, nil)
		return
	}
	b := l.bindings[at]
	l.bindings = append(l.bindings[:at], l.bindings[at+1:]...)
	l.closeBinding(b)
	reply(request, true, nil)
}

// find is the index of the binding that a cancel means, or -1: the one with the
// port that was bound or, as some clients repeat what they asked for, the last
// one for which port 0 was asked.
func (l *link) find(message sshwire.ForwardRequest) int {
	found := -1
	for i, b := range l.bindings {
		if b.address != message.Address {
			continue
		}
		if message.Port == uint32(b.port) {
			return i
		}
		if message.Port == 0 && b.asked == 0 {
			found = i
		}
	}
	return found
}

// bind opens the listeners of a forward. The error is a sentence for whoever
// asked; it is an *access.Denied if that won't change.
func (l *link) bind(message sshwire.ForwardRequest) (*binding, error) {
	if len(l.bindings) >= maxBindings {
		return nil, fmt.Errorf("the link has %d forwarded ports, and may have no more", maxBindings)
	}
	b := &binding{address: message.Address, asked: uint16(message.Port), opening: make(slots, maxOpening)}
	release, err := l.takeForward()
	if err != nil {
		return nil, err
	}
	b.release = release
	b.toTarget, b.toClient = l.lease.Meter()
	b.port, err = l.lease.Bind("tcp", message.Address, b.asked, func(host string, port uint16) (uint16, error) {
		listeners, bound, err := listen(host, port)
		if err != nil {
			return 0, &bindError{explainListen(err, host, port), err}
		}
		b.listeners = listeners
		return bound, nil
	})
	if err != nil {
		release()
		return nil, err
	}
	return b, nil
}

// takeForward takes a place for one more forward, of the key and of the relay.
func (l *link) takeForward() (release func(), err error) {
	if !l.relay.counters.forwards.Take() {
		return nil, errors.New("the relay has too many forwarded ports")
	}
	give, err := l.lease.TakeForward()
	if err != nil {
		l.relay.counters.forwards.Give()
		return nil, err
	}
	return func() {
		give()
		l.relay.counters.forwards.Give()
	}, nil
}

// bindError is why the system didn't let us bind, in words for who asked.
type bindError struct {
	text  string
	cause error
}

func (e *bindError) Error() string { return e.text }
func (e *bindError) Unwrap() error { return e.cause }
