package sshwire

import (
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

// Lifeline is the connection below a link. It makes its end known.
//
// To its owner it tells it before x/crypto/ssh gets to know and ends the
// channels: a client of a public port must be able to tell a broken link from the
// end of what its target had to say. To x/crypto/ssh it tells it so that a channel
// which is being opened at that moment fails: left alone, an OpenChannel that
// comes after the channels were dropped, and before a write has failed, waits for
// an answer for ever.
type Lifeline struct {
	*tcpio.Conn
	onEnd func(error)
	link  atomic.Pointer[ssh.Conn]
}

// NewLifeline makes conn, which it owns from now on, a Lifeline. OnEnd is called
// with each error of Read; it may be nil.
func NewLifeline(conn *tcpio.Conn, onEnd func(error)) *Lifeline {
	return &Lifeline{Conn: conn, onEnd: onEnd}
}

// Carries names the link that runs over it, once there is one.
func (l *Lifeline) Carries(link ssh.Conn) { l.link.Store(&link) }

// Read reads. With the first error the connection is closed.
func (l *Lifeline) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err == nil {
		return n, nil
	}
	if l.onEnd != nil {
		l.onEnd(err)
	}
	if link := l.link.Load(); link != nil {
		_ = l.Close()
		l.failWrite(*link)
	}
	return n, err
}

// failWrite has x/crypto/ssh write, so that it learns that it can't any more.
// During a key exchange a write may be waiting for the goroutine that called Read:
// then it isn't waited for, and ends when that has returned.
func (l *Lifeline) failWrite(link ssh.Conn) {
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		_, _, _ = link.SendRequest(RequestKeepalive, false, nil)
	}()
	timer := time.NewTimer(failWithin)
	defer timer.Stop()
	select {
	case <-failed:
	case <-timer.C:
	}
}
