package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"funnel/internal/backoff"
	"funnel/internal/forward"
	"funnel/internal/sshwire"
)

// refusal is the relay's no to a forward.
type refusal struct {
	reason string
	final  bool  // asking again won't help
	kind   error // ErrOutlived, or nil
}

func (r *refusal) Unwrap() error { return r.kind }

func (r *refusal) Error() string { return r.reason }

// keepAsking announces the agent, asks the relay for every TCP forward, and goes
// on asking for those it refused but may grant later, and for those it has taken
// away. It returns when ctx ends, with a permanent error when the agent has no
// reason to go on, and with any other when the link is gone.
func (t *tcpLink) keepAsking(ctx context.Context) error {
	if err := t.announce(); err != nil {
		return err
	}
	wait := backoff.New(backoff.Config{Base: askAgainFirst, Max: askAgainMost})
	wait.Next() // zero: what was refused a moment ago still is
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	left, err := t.askFor(t.agent.tcp)
	for err == nil {
		if len(left) > 0 {
			retry.Reset(wait.Next())
		} else {
			retry.Stop()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		case <-t.bindings.some:
			lost := t.bindings.takeLost()
			t.agent.board.down(lost)
			left = append(left, lost...)
		}
		left, err = t.askFor(left)
	}
	return err
}

// askFor asks for the forwards at indexes, one after the other as x/crypto/ssh
// has one question under way per link, and returns those to ask for again.
func (t *tcpLink) askFor(indexes []int) (again []int, err error) {
	for _, i := range indexes {
		err := t.bind(i)
		if err == nil {
			continue
		}
		no, refused := errors.AsType[*refusal](err)
		if !refused {
			return nil, err
		}
		if err := t.agent.board.refused(i, no, no.final); err != nil {
			return nil, err
		}
		if !no.final {
			again = append(again, i)
		}
	}
	return again, nil
}

// bind asks for forward i. Where the relay may choose the port it is first asked
// for the one it chose last time, since people were told that one.
func (t *tcpLink) bind(i int) error {
	f := t.agent.config.Forwards[i]
	bound, err := t.bindings.add(i, f, func() (uint16, error) {
		if last := t.agent.granted[i]; f.BindPort == 0 && last != 0 {
			if bound, err := t.request(f, last); !is[*refusal](err) {
				return bound, err
			}
		}
		return t.request(f, f.BindPort)
	})
	if err != nil {
		return err
	}
	t.agent.granted[i] = bound
	t.agent.board.up(i, t.agent.public(f.BindHost, bound))
	t.warnOfGatewayPorts(f)
	return nil
}

// request sends one tcpip-forward (RFC 4254 §7.1) and returns the port that was
// bound. A refusal is a *refusal, any other error means that the link is gone.
func (t *tcpLink) request(f forward.Forward, port uint16) (uint16, error) {
	request := sshwire.ForwardRequest{Address: f.BindHost, Port: uint32(port)}
	ok, reply, err := t.link.SendRequest(sshwire.RequestForward, true, ssh.Marshal(&request))
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", f.Listen(), err)
	}
	if !ok {
		return 0, t.refusal(f, reply)
	}
	if port != 0 {
		return port, nil
	}
	chosen, err := sshwire.ParseForwardReply(reply)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", f.Listen(), err)
	}
	return uint16(chosen.Port), nil // #nosec G115 -- parsed as a port
}

// refusal words a no. funnel-relay sends its reason along; of another server
// we only know what usually stops it.
func (t *tcpLink) refusal(f forward.Forward, reply []byte) *refusal {
	if told, ok := sshwire.ParseRefusal(reply); ok && t.link.isFunnelRelay() {
		no := &refusal{reason: printable(told.Reason), final: told.Final}
		if told.Outlived {
			no.kind = ErrOutlived
		}
		return no
	}
	causes := []string{"the port is taken", "permitlisten or AllowTcpForwarding forbids it"}
	if f.BindPort != 0 && f.BindPort < 1024 {
		causes = append(causes, "ports below 1024 want root there")
	}
	if _, err := netip.ParseAddr(f.BindHost); err == nil && !isLoopback(f.BindHost) {
		causes = append(causes, "the server doesn't have that address")
	}
	last := len(causes) - 1
	return &refusal{reason: "the SSH server gave no reason; perhaps " + strings.Join(causes[:last], ", ") + ", or " + causes[last]}
}

// warnOfGatewayPorts tells, once, what a stock sshd doesn't: unless
// told otherwise it binds loopback whatever address was asked for, and says yes.
func (t *tcpLink) warnOfGatewayPorts(f forward.Forward) {
	if t.link.isFunnelRelay() || isLoopback(f.BindHost) {
		return
	}
	t.agent.gatewayPorts.Do(func() {
		t.agent.config.Log.Warn("the relay isn't funnel-relay: if the port answers only on the relay itself, set GatewayPorts clientspecified in its sshd_config",
			"server", string(t.link.ServerVersion()), "listen", f.Listen())
	})
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// printable is what may be shown on a terminal of a text that the relay chose.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) > maxReason {
		clean = strings.ToValidUTF8(clean[:maxReason], "") + "..."
	}
	return clean
}
