package sshwire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

// ErrSilent is what a peer is given up for that answers no questions.
var ErrSilent = errors.New("the peer does not answer")

// Keepalive asks the peer for a sign of life every interval. Any answer is one,
// also a refusal. So is the traffic of transport, over which conn runs: bytes
// that arrive, and bytes of ours that are acknowledged as long as many of them
// wait. A busy slow line delays answers for longer than count intervals, and that
// is no reason to give it up. After an interval with traffic there is no question,
// as in sshd. A nil transport, and a system that doesn't tell, has no traffic.
//
// After count intervals without any of that it calls onDead once, with an error
// that is ErrSilent, and onDead must close conn: that is what ends the question
// under way. Without a positive interval and count there are no questions.
//
// Keepalive blocks until ctx or conn ends or the peer is given up. When ctx
// ends, it waits for the answer to the question under way, so that the owner
// must close conn then, too.
func Keepalive(ctx context.Context, transport *tcpio.Conn, conn ssh.Conn, interval time.Duration, count int, onDead func(error)) {
	if interval <= 0 || count <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var (
		traffic  = newTraffic(transport)
		answered = make(chan error, 1)
		asking   bool
		spared   bool // the last interval needed no question
		missed   int  // intervals without any sign of life
	)
	defer func() {
		if asking {
			<-answered
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-answered:
			asking = false
			if err != nil {
				return // the connection is closed
			}
			missed = 0
		case <-ticker.C:
			if traffic.moved() {
				spared, missed = true, 0
				continue
			}
			if spared || asking {
				missed++
			}
			if asking && missed >= count {
				onDead(fmt.Errorf("%w for %s", ErrSilent, time.Duration(count)*interval))
				return
			}
			if !asking {
				spared, asking = false, true
				go func() { answered <- ask(conn) }()
			}
		}
	}
}

// ask blocks for as long as conn lasts if the peer doesn't answer, or if it
// doesn't even read.
func ask(conn ssh.Conn) error {
	_, _, err := conn.SendRequest(RequestKeepalive, true, nil)
	return err
}

// traffic notices what moves over a connection.
type traffic struct {
	transport *tcpio.Conn
	socket    *tcpio.Socket // nil: nothing is known
	received  uint64
	acked     uint64
}

func newTraffic(transport *tcpio.Conn) *traffic {
	t := &traffic{transport: transport}
	if transport != nil {
		t.socket = tcpio.NewSocket(transport)
		t.moved() // from here on
	}
	return t
}

// moved says whether the peer has shown life since the last call.
func (t *traffic) moved() bool {
	info, ok := t.socket.Info()
	if !ok {
		return false
	}
	queued, _ := t.socket.Queued()
	backlog := queued + t.transport.Gathered()
	moved := info.BytesReceived != t.received || (info.BytesAcked != t.acked && backlog > backlogLimit)
	t.received, t.acked = info.BytesReceived, info.BytesAcked
	return moved
}
