package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
	"funnel/internal/replay"
	"funnel/internal/sshwire"
	"funnel/proto"
)

// errNoUDP is why a server that isn't funnel-relay can't carry UDP.
var errNoUDP = errors.New("the SSH server there can't carry UDP: it is not funnel-relay, whose subsystem " + proto.Subsystem + " it lacks")

// keepLanes keeps the UDP forwards up until ctx ends or an error is permanent.
// If the relay turns out unable to carry UDP the TCP forwards, if there are
// any, go on alone.
func (a *Agent) keepLanes(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	forwards := make([]forward.Forward, len(a.udp))
	for i, index := range a.udp {
		forwards[i] = a.config.Forwards[index]
	}
	group := replay.New(replay.Config{
		Dial:      a.dialLane,
		Permanent: Permanent,
		Unreached: is[*unreachedError],
		Hedge:     a.dialer.hasLoggedIn,
		Kick:      a.dialer.paths.kicked,
		Lost:      a.laneLost,
		Instance:  a.config.Instance,
		Forwards:  forwards,
		Name:      a.config.Name,
		Lanes:     a.config.Lanes,
		Copies:    a.config.Copies,
		MaxDelay:  a.config.MaxDelay,
		Idle:      a.config.UDPIdle,
		MaxFlows:  a.config.MaxFlows,
		Log:       a.config.Log,
		Bound: func(i int, addr netip.AddrPort) {
			a.board.up(a.udp[i], a.public(addr.Addr().Unmap().String(), addr.Port()))
		},
		Refused: func(i int, err error) {
			no := refusalOf(err)
			if err := a.board.refused(a.udp[i], no, no.final); err != nil {
				cancel(err)
			}
		},
		Down: func(err error) {
			a.board.noLane(err)
			a.board.down(a.udp)
		},
	})
	a.group.Store(group)
	err := group.Run(ctx)
	if cause := context.Cause(ctx); Permanent(cause) {
		return cause
	}
	if errors.Is(err, errNoUDP) {
		return a.giveUpUDP(errNoUDP)
	}
	if is[*replay.Refusal](err) {
		return a.giveUpUDP(refusesUDP(err))
	}
	return err
}

// refusalOf is the relay's no to a UDP forward.
func refusalOf(err error) *refusal {
	no := &refusal{reason: printable(err.Error()), final: errors.Is(err, &proto.Error{Code: proto.CodeDenied})}
	if errors.Is(err, &proto.Error{Code: proto.CodeOutlived}) {
		no.final, no.kind = true, ErrOutlived
	}
	return no
}

// refusesUDP words the relay's no to all lanes.
func refusesUDP(err error) error {
	advice := ""
	if told, ok := errors.AsType[*proto.Error](err); ok {
		err = told // it is a sentence of its own
		if told.Code == proto.CodeMalformed {
			advice = "; agent or relay has a bug, update both"
		}
	}
	return fmt.Errorf("the relay refuses UDP: %s%s", printable(err.Error()), advice)
}

// laneLost says that there is no lane. Where there are TCP forwards, their link says
// so, and the board if it is up.
func (a *Agent) laneLost(err error, retry time.Duration) {
	a.board.noLane(err)
	if len(a.tcp) == 0 {
		a.uptime.lost(err, retry)
	}
}

// giveUpUDP notes why no UDP forward will come up. It returns nil if the TCP
// forwards are to go on.
func (a *Agent) giveUpUDP(reason error) error {
	for _, i := range a.udp {
		if err := a.board.refused(i, reason, true); err != nil {
			return err
		}
	}
	return nil
}

// dialLane makes a link for UDP: the subsystem running on a session channel.
func (a *Agent) dialLane(ctx context.Context, reached func()) (*replay.Lane, error) {
	l, err := a.dialer.dial(ctx, reached, len(a.tcp) == 0)
	if err != nil {
		return nil, err
	}
	lane := &laneLink{link: l}
	lane.start(a.config.Log, "this link carries UDP alone")
	stop := context.AfterFunc(ctx, func() { l.Close() })
	channel, err := lane.openSubsystem()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		lane.Close()
		return nil, err
	}
	dialed := &replay.Lane{
		Channel: channel, Socket: l.socket, End: lane.Close, Doubtful: l.Doubt, RTT: l.rtt,
		Another: func() (io.ReadWriteCloser, error) { return lane.openSubsystem() },
	}
	if len(a.tcp) == 0 {
		dialed.Up = func() { a.uptime.up(l) }
		dialed.Down = func(cause error) { a.uptime.down(l, cause) }
	}
	return dialed, nil
}

// laneLink is a link and the goroutines that serve it.
type laneLink struct {
	*link
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	closed bool // guarded by mu; no task begins any more
}

// start serves the link until Close, and rejects channels for the reason given.
// It isn't bound to the context of the dial, which may end before the lane does.
func (l *laneLink) start(log *slog.Logger, reason string) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.tasks.Go(func() {
		err := l.serve(ctx, func(channel ssh.NewChannel) {
			reject(channel, ssh.Prohibited, reason)
		})
		log.Debug("link ended", "error", err)
	})
}

// Close ends the link and waits until all that serves it has stopped. It may be
// called more than once.
func (l *laneLink) Close() error {
	err := l.link.Close()
	l.cancel()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.tasks.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// spawn begins tasks that end with the link; false if it has ended.
func (l *laneLink) spawn(tasks ...func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	for _, task := range tasks {
		l.tasks.Go(task)
	}
	return true
}

// openSubsystem asks for the UDP subsystem on a new session channel (RFC 4254
// §6.5). A server that has none refuses for good.
func (l *laneLink) openSubsystem() (ssh.Channel, error) {
	channel, requests, err := l.OpenChannel(sshwire.ChannelSession, nil)
	if err != nil {
		refused, ok := errors.AsType[*ssh.OpenChannelError](err)
		if ok && refused.Reason != ssh.ResourceShortage {
			return nil, &permanentError{ErrForward, fmt.Errorf("%w (it opens no session: %s)", errNoUDP, printable(refused.Message))}
		}
		return nil, fmt.Errorf("open session: %w", err)
	}
	if !l.spawn(
		func() { ssh.DiscardRequests(requests) },
		func() { _, _ = io.Copy(io.Discard, channel.Stderr()) },
	) {
		return nil, fmt.Errorf("open session: %w", net.ErrClosed)
	}
	request := ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem})
	ok, err := channel.SendRequest(sshwire.RequestSubsystem, true, request)
	if err != nil {
		return nil, fmt.Errorf("ask for subsystem %s: %w", proto.Subsystem, err)
	}
	if !ok {
		return nil, &permanentError{ErrForward, errNoUDP}
	}
	return channel, nil
}
