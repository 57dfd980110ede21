package relay

import (
	"context"
	"sync"

	"golang.org/x/crypto/ssh"

	"funnel/internal/session"
	"funnel/internal/sshwire"
	"funnel/proto"
)

// noShell is what who wants a shell gets to read.
const noShell = "funnel-relay: this relay only forwards ports and has no shell: use ssh -N with -R\r\n"

// serveSession serves a session channel: the UDP subsystem and nothing else. It
// returns when the client has closed the channel, too.
func (l *link) serveSession(ctx context.Context, offer ssh.NewChannel) {
	channel, requests, err := offer.Accept()
	if err != nil {
		return // the link is gone
	}
	var tasks sync.WaitGroup
	begun := false // at most one program runs in a session (RFC 4254 §6.5)
	for request := range requests {
		program := l.program(ctx, channel, request)
		if program == nil || begun {
			reply(request, false, nil)
			continue
		}
		begun = true
		reply(request, true, nil)
		// Requests are to be answered meanwhile, or the link hangs.
		tasks.Go(program)
	}
	tasks.Wait()
}

// program is what a request starts; nil if there is no such thing. Programs
// close the channel at their end.
func (l *link) program(ctx context.Context, channel ssh.Channel, request *ssh.Request) func() {
	switch request.Type {
	case sshwire.RequestSubsystem:
		message, err := sshwire.ParseSubsystem(request.Payload)
		if err != nil || message.Name != proto.Subsystem {
			return nil
		}
		return func() { l.serveUDP(ctx, channel) }
	case sshwire.RequestShell, sshwire.RequestExec:
		return func() { decline(channel) }
	}
	return nil
}

// serveUDP runs a lane.
func (l *link) serveUDP(ctx context.Context, channel ssh.Channel) {
	err := l.relay.sessions.Serve(ctx, channel, session.Peer{
		Fingerprint: l.grant.Fingerprint,
		Name:        nameOf(l.grant),
		Remote:      l.remote.String(),
		Arrival:     l.number,
		Grant:       l.lease,
		Lease:       l.lease,
		Socket:      l.socket,
		Close:       l.conn.Close,
		Log:         l.log,
	})
	if err != nil {
		l.log.Debug("lane ended", "cause", err)
	}
}

// decline is the program that runs instead of a shell or a command. To refuse
// those would show the user nothing but "shell request failed".
func decline(channel ssh.Channel) {
	defer channel.Close()
	// Errors mean that nobody is there to be told.
	if _, err := channel.Stderr().Write([]byte(noShell)); err != nil {
		return
	}
	_, _ = channel.SendRequest(sshwire.RequestExitStatus, false, ssh.Marshal(sshwire.ExitStatus{Status: 1}))
}
