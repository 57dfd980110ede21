package relay

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/pace"
	"funnel/internal/sshwire"
)

// answerRequests answers the link's global requests, one after the other, until
// the link ends.
func (l *link) answerRequests(ctx context.Context) {
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
	case sshwire.RequestAnnounce:
		l.announce(request)
	case sshwire.RequestLeave:
		l.leave(request)
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

// announce makes the link one of a presence that was there before, or may be
// there again.
func (l *link) announce(request *ssh.Request) {
	message, err := sshwire.ParseAnnounce(request.Payload)
	if err != nil || l.presence != nil {
		reply(request, false, nil)
		return
	}
	p, known, err := l.relay.presences.join(l, message)
	if err != nil {
		reply(request, false, nil)
		if errors.Is(err, errReplaced) {
			l.end(err)
		}
		return
	}
	l.presence = p
	reply(request, true, ssh.Marshal(sshwire.Announced{
		Known: known, Grace: uint32(l.relay.config.Grace / time.Second), // #nosec G115 -- a day at most
	}))
	if known {
		p.resume()
	}
}

// leave ends the presence: its agent was stopped.
func (l *link) leave(request *ssh.Request) {
	if p := l.presence; p != nil {
		p.endIf(errLeft, func() bool { return p.link == l })
	}
	reply(request, true, nil)
}

// forward answers a tcpip-forward. The first client is taken only after the
// answer, which tells the agent about the port it comes from.
func (l *link) forward(ctx context.Context, request *ssh.Request) {
	message, err := sshwire.ParseForwardRequest(request.Payload)
	if err != nil {
		l.refuse(request, sshwire.Refusal{Reason: err.Error(), Final: true})
		return
	}
	if l.presence == nil {
		if l.presence, err = l.relay.presences.add(l); err != nil {
			l.refuse(request, sshwire.Refusal{Reason: err.Error()})
			return
		}
	}
	b, err := l.presence.bind(l, message)
	if err != nil {
		_, denied := errors.AsType[*access.Denied](err)
		l.refuse(request, sshwire.Refusal{Reason: err.Error(), Final: denied, Outlived: errors.Is(err, errInherits)})
		return
	}
	var payload []byte
	if message.Port == 0 {
		payload = ssh.Marshal(sshwire.ForwardReply{Port: uint32(b.port)})
	}
	reply(request, true, payload)
	l.govern(ctx)
	l.presence.confirm(l, b)
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
func (l *link) refuse(request *ssh.Request, no sshwire.Refusal) {
	l.logRefused("binding refused", "network", "tcp", "cause", no.Reason)
	l.sayNo(request, no)
}

// sayNo says no to a request, and why to those who understand.
func (l *link) sayNo(request *ssh.Request, no sshwire.Refusal) {
	var payload []byte
	if sshwire.IsAgent(l.conn.ClientVersion()) {
		payload = no.Append(nil)
	}
	reply(request, false, payload)
}

// cancel answers a cancel-tcpip-forward. Conns that are there already go on, as
// with sshd.
func (l *link) cancel(request *ssh.Request) {
	message, err := sshwire.ParseForwardRequest(request.Payload)
	reply(request, err == nil && l.presence != nil && l.presence.unbind(l, message), nil)
}
