package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// TestLink is a link that forwards nothing. It asks the relay for ports to test
// the path with, and tells what the kernel knows of the path.
type TestLink struct {
	link   *laneLink
	socket *tcpio.Socket
	relay  netip.Addr
}

// TestPorts are a pair of ports on which the relay itself answers, to this
// machine alone; see sshwire.RequestTestPorts. A port that isn't valid wasn't
// granted, and Note says why.
type TestPorts struct {
	TCP, UDP netip.AddrPort
	Token    []byte        // what every connection and datagram begins with
	For      time.Duration // how long they are open
	Note     string
}

// RefusedTest is the error of a relay that gives no test ports.
type RefusedTest struct {
	// Known says that the relay knows what was asked for; otherwise it is an
	// older one, or another SSH server.
	Known  bool
	Reason string
}

func (e *RefusedTest) Error() string { return e.Reason }

// DialTest logs in to config's relay. Of config, what concerns forwards and UDP
// isn't used. Nothing is tried again: an error is that of the one attempt, and
// Permanent in the sense of that function if another wouldn't help.
func DialTest(ctx context.Context, config Config) (*TestLink, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	l, err := newDialer(config).dial(ctx, func() {}, false)
	if err != nil {
		return nil, err
	}
	t := &TestLink{link: &laneLink{link: l}, socket: tcpio.NewSocket(l.transport)}
	if tcp, ok := l.RemoteAddr().(*net.TCPAddr); ok {
		address := tcp.AddrPort().Addr()
		t.relay = address.Unmap()
	}
	t.link.start(config.Log, "this link is for tests alone")
	return t, nil
}

// Close ends the link, and with it the test ports, and waits until all that
// serves it has stopped.
func (t *TestLink) Close() {
	_ = t.link.Close() // fails only if it was closed before
}

// Relay is the relay's address as the link reached it.
func (t *TestLink) Relay() netip.Addr { return t.relay }

// Server is the relay's version string (RFC 4253 §4.2), made fit for a terminal.
func (t *TestLink) Server() string { return printable(string(t.link.ServerVersion())) }

// IsFunnelRelay says whether the relay is funnel-relay.
func (t *TestLink) IsFunnelRelay() bool { return t.link.isFunnelRelay() }

// Info is the kernel's view of the link (TCP_INFO), where it tells.
func (t *TestLink) Info() (tcpio.Info, bool) { return t.socket.Info() }

// Ports asks for a new pair of test ports, which replaces the one before. A
// refusal is a *RefusedTest; any other error means that the link is gone.
func (t *TestLink) Ports(ctx context.Context) (TestPorts, error) {
	stop := context.AfterFunc(ctx, func() { t.link.link.Close() })
	defer stop()
	ok, reply, err := t.link.SendRequest(sshwire.RequestTestPorts, true, nil)
	if ctx.Err() != nil {
		return TestPorts{}, context.Cause(ctx)
	}
	if err != nil {
		return TestPorts{}, fmt.Errorf("ask for test ports: %w", err)
	}
	if !ok {
		return TestPorts{}, t.refusal(reply)
	}
	granted, err := sshwire.ParseTestPorts(reply)
	if err != nil {
		return TestPorts{}, fmt.Errorf("ask for test ports: %w", err)
	}
	ports := TestPorts{Token: []byte(granted.Token), For: time.Duration(granted.Seconds) * time.Second, Note: printable(granted.Note)}
	if granted.TCPPort != 0 {
		ports.TCP = netip.AddrPortFrom(t.relay, uint16(granted.TCPPort)) // #nosec G115 -- parsed as a port
	}
	if granted.UDPPort != 0 {
		ports.UDP = netip.AddrPortFrom(t.relay, uint16(granted.UDPPort)) // #nosec G115 -- parsed as a port
	}
	return ports, nil
}

func (t *TestLink) refusal(reply []byte) *RefusedTest {
	if told, ok := sshwire.ParseRefusal(reply); ok && t.link.isFunnelRelay() {
		return &RefusedTest{Known: true, Reason: "the relay refuses test ports: " + printable(told.Reason)}
	}
	if t.link.isFunnelRelay() {
		return &RefusedTest{Reason: "this funnel-relay is too old for test ports; update it to compare with the path without the funnel"}
	}
	return &RefusedTest{Reason: "the SSH server there isn't funnel-relay and has no test ports, so there is nothing to compare with but the kernel's own round trip"}
}
