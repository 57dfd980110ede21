package relay

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/probe"
	"funnel/internal/session"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
	"funnel/internal/udpio"
)

// testPorts are a pair of public ports on which the relay itself answers the
// link's client, and nobody else; see sshwire.RequestTestPorts.
type testPorts struct {
	link  *link
	token [sshwire.TestTokenSize]byte
	place slots // conns

	end    context.CancelFunc
	closed chan struct{} // when both ports are

	tcp                *testPort // nil if there is none
	udp                *testPort
	toTarget, toClient access.Meters
}

// testPort is one of them.
type testPort struct {
	port      uint16
	listeners []net.Listener // of TCP
	conn      *udpio.Conn    // of UDP
	release   func()         // gives its place among the forwards back
}

func (p *testPort) close() {
	if p == nil {
		return
	}
	for _, listener := range p.listeners {
		_ = listener.Close()
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.release()
}

// openTest answers a request for test ports. What the key may not have, or
// can't get, is left out, and the client told why.
func (l *link) openTest(ctx context.Context, request *ssh.Request) {
	l.endTest()
	if len(request.Payload) > 0 {
		l.refuseTest(request, "the request for test ports has a payload", true)
		return
	}
	t := &testPorts{link: l, place: make(slots, maxTestConns), closed: make(chan struct{})}
	t.toTarget, t.toClient = l.lease.Meter()
	_, _ = rand.Read(t.token[:]) // never fails
	var tcpErr, udpErr error
	t.tcp, tcpErr = l.bindTest("tcp")
	t.udp, udpErr = l.bindTest("udp")
	if t.tcp == nil && t.udp == nil {
		_, tcpDenied := errors.AsType[*access.Denied](tcpErr)
		_, udpDenied := errors.AsType[*access.Denied](udpErr)
		l.refuseTest(request, oneLine(errors.Join(tcpErr, udpErr)), tcpDenied && udpDenied)
		return
	}
	ctx, t.end = context.WithTimeout(ctx, testTime)
	l.test = t
	granted := sshwire.TestPorts{Seconds: uint32(testTime / time.Second), Token: string(t.token[:])}
	if t.tcp != nil {
		granted.TCPPort = uint32(t.tcp.port)
	}
	if t.udp != nil {
		granted.UDPPort = uint32(t.udp.port)
	}
	if err := errors.Join(tcpErr, udpErr); err != nil {
		granted.Note = oneLine(err)
	}
	t.serve(ctx)
	reply(request, true, ssh.Marshal(granted))
	l.log.Info("test ports opened", "tcp", granted.TCPPort, "udp", granted.UDPPort)
}

// oneLine is an error, perhaps of several lines, as a note.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxNote)], "")
}

func (l *link) refuseTest(request *ssh.Request, reason string, final bool) {
	l.logRefused("test ports refused", "cause", reason)
	l.sayNo(request, sshwire.Refusal{Reason: reason, Final: final})
}

// bindTest binds a port as a forward with port 0 is bound, within the same
// limits.
func (l *link) bindTest(network string) (*testPort, error) {
	release, err := l.takeForward()
	if err != nil {
		return nil, err
	}
	p := &testPort{release: sync.OnceFunc(release)}
	p.port, err = l.lease.Bind(network, "", 0, func(host string, port uint16) (bound uint16, err error) {
		if network == "udp" {
			p.conn, err = udpio.Listen("udp", netip.AddrPortFrom(l.testAddress(host), port), udpio.Options{})
			if err != nil {
				return 0, &bindError{session.ExplainListen(err, network, host, port), err}
			}
			return p.conn.LocalAddr().Port(), nil
		}
		p.listeners, bound, err = listen(host, port)
		if err != nil {
			return 0, &bindError{session.ExplainListen(err, network, host, port), err}
		}
		return bound, nil
	})
	if err != nil {
		release()
		return nil, err
	}
	return p, nil
}

// testAddress is the address of a bind host, as access.Grant.Bind narrows it.
// Of localhost's two the client can only reach the one of its own family.
func (l *link) testAddress(host string) netip.Addr {
	switch {
	case host == "localhost" && l.remote.Addr().Is6():
		return netip.IPv6Loopback()
	case host == "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	address, _ := netip.ParseAddr(host) // "" is the zero Addr: all
	return address
}

// endTest closes the link's test ports, so that their places are free. It
// belongs to answerRequests.
func (l *link) endTest() {
	if l.test != nil {
		l.test.end()
		<-l.test.closed
		l.test = nil
	}
}

// reviewTest closes them if they are no longer permitted. It belongs to
// answerRequests.
func (l *link) reviewTest() {
	t := l.test
	if t == nil {
		return
	}
	l.lease.Adjust(t.toTarget, t.toClient)
	if t.tcp != nil && l.lease.MayBind("tcp", "", t.tcp.port) != nil || t.udp != nil && l.lease.MayBind("udp", "", t.udp.port) != nil {
		l.log.Warn("test ports revoked")
		l.endTest()
	}
}

// serve answers on the ports until ctx ends.
func (t *testPorts) serve(ctx context.Context) {
	l := t.link
	l.tasks.Go(func() {
		<-ctx.Done()
		t.end()
		t.tcp.close()
		t.udp.close()
		close(t.closed)
		l.log.Info("test ports closed")
	})
	if t.udp != nil {
		l.tasks.Go(t.echo)
	}
	if t.tcp == nil {
		return
	}
	for _, listener := range t.tcp.listeners {
		l.tasks.Go(func() { l.relay.accept(ctx, listener, func(conn net.Conn) { t.take(ctx, conn) }) })
	}
}

// mine says whether an address is the link's client's own, which may reach
// the port.
func (t *testPorts) mine(client netip.Addr, network string, port uint16) bool {
	return client.Unmap().WithZone("") == t.link.remote.Addr().WithZone("") &&
		t.link.relay.config.Networks.Allows(client, network, port)
}

func (t *testPorts) holds(token []byte) bool {
	return subtle.ConstantTimeCompare(token, t.token[:]) == 1
}

// echo sends datagrams back that come from the client and show the token:
// never more bytes than came, and never to an address that was forged, since
// whoever forges it doesn't know the token.
func (t *testPorts) echo() {
	sender := udpio.NewSender()
	for {
		err := t.udp.conn.Receive(func(messages []udpio.Message) {
			for _, m := range messages {
				if t.mine(m.Remote.Addr(), "udp", t.udp.port) && len(m.Data) >= len(t.token) && t.holds(m.Data[:len(t.token)]) &&
					t.toTarget.Pass(len(m.Data)) && t.toClient.Pass(len(m.Data)) {
					sender.Add(t.udp.conn, m.Data, m.Remote, m.Local)
				}
			}
			sender.Flush()
		})
		if err != nil {
			return
		}
	}
}

// take serves a connection, if it is the client's and there is room.
func (t *testPorts) take(ctx context.Context, accepted net.Conn) {
	client, ok := accepted.(*net.TCPConn)
	origin := addrPort(accepted.RemoteAddr()).Addr()
	if !ok || !t.mine(origin, "tcp", t.tcp.port) || !t.place.take() {
		_ = tcpio.Abort(accepted)
		return
	}
	release, ok := t.link.conns.take()
	if !ok {
		t.place.give()
		_ = tcpio.Abort(client)
		return
	}
	t.link.tasks.Go(func() {
		defer t.place.give()
		defer release()
		defer client.Close()
		ctx, leave := t.link.conns.watch(ctx, func() bool { return t.link.relay.welcome(origin, t.tcp.port) })
		defer leave()
		stop := context.AfterFunc(ctx, func() { client.Close() })
		defer stop()
		t.answer(ctx, client)
	})
}

// answer does what the client asks for, once it has shown the token.
func (t *testPorts) answer(ctx context.Context, client *net.TCPConn) {
	var token [sshwire.TestTokenSize]byte
	_ = client.SetReadDeadline(time.Now().Add(tokenTime)) // fails only if the client is gone, as below
	if _, err := io.ReadFull(client, token[:]); err != nil || !t.holds(token[:]) {
		_ = tcpio.Abort(client)
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	metered := newMetered(ctx, client, t.toTarget, t.toClient)
	defer metered.Close()
	probe.Serve(metered)
}
