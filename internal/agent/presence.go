package agent

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/instance"
	"funnel/internal/sshwire"
)

// announce tells a funnel-relay who we are, so that it keeps what is ours while we
// are away. An error means that the link is gone.
func (t *tcpLink) announce() error {
	who := t.agent.config.Instance
	if !t.link.isFunnelRelay() || who == (instance.Instance{}) {
		t.agent.carried.forget()
		return nil
	}
	seconds := min(t.agent.config.TCPResume/time.Second, math.MaxUint32)
	request := ssh.Marshal(sshwire.Announce{
		Agent: string(who.Agent[:]), Generation: who.Generation, Instance: string(who.Run[:]),
		Resume: uint32(seconds), // #nosec G115 -- bounded above, and flags are not negative
	})
	ok, reply, err := t.link.SendRequest(sshwire.RequestAnnounce, true, request)
	if err != nil {
		return fmt.Errorf("announce the agent: %w", err)
	}
	if !ok { // an older one
		t.agent.carried.forget()
		return nil
	}
	answer, err := sshwire.ParseAnnounced(reply)
	if err != nil {
		return fmt.Errorf("announce the agent: %w", err)
	}
	if !answer.Known {
		t.agent.carried.forget()
	}
	t.announced.Store(true)
	t.link.movable.Store(seconds > 0)
	return nil
}

// leave says goodbye to a relay that would wait for us, so that it closes our
// ports at once. It takes farewell at most, and ends with ctx, too.
func (t *tcpLink) leave(ctx context.Context) {
	if !t.announced.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	left := make(chan struct{})
	t.conns.Go(func() { // which wait for the link's end, as this may
		defer close(left)
		_, _, _ = t.link.SendRequest(sshwire.RequestLeave, true, nil) // or it is gone already
	})
	select {
	case <-left:
	case <-ctx.Done():
	}
}
