package resume

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

func TestPeerThatBreaksTheProtocolResets(t *testing.T) {
	for name, misdeed := range map[string]func(s *scripted, c *fakeChannel){
		"ack beyond what was sent": func(s *scripted, c *fakeChannel) { c.acks(101) },
		"ack of an end that there isn't": func(s *scripted, c *fakeChannel) {
			s.local.do(func() { s.local.toRead = 200 })
			until(s.t, &c.mu, &c.change, func() bool { return len(c.got) == 200 })
			c.acks(201)
		},
		"ack that goes back":     func(s *scripted, c *fakeChannel) { c.acks(100); c.acks(99) },
		"end before its bytes":   func(s *scripted, c *fakeChannel) { c.ends(9) },
		"two ends":               func(s *scripted, c *fakeChannel) { c.ends(11); c.ends(12) },
		"ack that can't be read": func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestAck, []byte{1}) },
		"end that can't be read": func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestEnd, nil) },
		"reset with a payload":   func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestReset, []byte{1}) },
		"bytes behind the end": func(s *scripted, c *fakeChannel) {
			c.ends(10)
			c.heard(s.t, sshwire.RequestAck)
			c.do(func() { c.toRead = []byte("x") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, Options{})
			c := s.open()
			s.local.do(func() { s.local.toRead = 100 })
			until(t, &c.mu, &c.change, func() bool { return len(c.got) == 100 })
			c.do(func() { c.toRead = stretch(0, 10) })
			until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == 10 })
			misdeed(s, c)
			require.ErrorIs(t, s.end(), ErrProtocol)
			c.heard(t, sshwire.RequestReset)
			require.True(t, s.local.closed)
		})
	}
}

func TestResumptionGoesOnWhereTheOtherEndIs(t *testing.T) {
	s := newScripted(t, Options{})
	first := s.open()
	s.local.do(func() { s.local.toRead = 100_000 })
	until(t, &first.mu, &first.change, func() bool { return len(first.got) == 100_000 })
	first.Close()
	received := s.Detach()
	require.Zero(t, received)
	s.local.do(func() { s.local.toRead, s.local.readErr = 150_000, io.EOF })

	second := newFakeChannel()
	s.Resume(second, second.requests, received)
	second.acks(77_777)
	second.heard(t, sshwire.RequestEnd)
	require.Equal(t, stretch(77_777, 150_000-77_777), second.got)
	second.acks(150_001)

	// The other direction ends on a channel that is lost before the ack of it.
	second.do(func() { second.toRead = stretch(0, 50) })
	second.ends(50)
	require.Equal(t, ssh.Marshal(sshwire.Ack{Position: 51}), second.heard(t, sshwire.RequestAck))
	require.NoError(t, s.end())
	require.Equal(t, stretch(0, 50), s.local.got)
	require.True(t, s.local.ended)
}

func TestAnswerBeginsWithAnAck(t *testing.T) {
	s := newScripted(t, Options{})
	first := s.open()
	first.do(func() { first.toRead = stretch(0, 1000) })
	until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == 1000 })
	s.local.do(func() { s.local.toRead = 10 })
	until(t, &first.mu, &first.change, func() bool { return len(first.got) == 10 })
	// The first one isn't known to be lost.
	second := newFakeChannel()
	released := s.Answer(second, second.requests, 4)
	require.Equal(t, ssh.Marshal(sshwire.Ack{Position: 1000}), second.heard(t, sshwire.RequestAck))
	until(t, &second.mu, &second.change, func() bool { return len(second.got) == 6 })
	require.Equal(t, stretch(4, 6), second.got)

	// A channel from the past changes nothing.
	third := newFakeChannel()
	<-s.Answer(third, third.requests, 3)
	second.acks(10)
	second.says(sshwire.RequestReset, nil)
	require.ErrorIs(t, s.end(), ErrReset)
	<-released
	for _, request := range third.asked {
		require.NotEqual(t, sshwire.RequestReset, request.Type)
	}
}

func TestResetWithoutChannelIsToldOnTheNext(t *testing.T) {
	s := newScripted(t, Options{})
	s.open().Close()
	received := s.Detach()
	s.local.do(func() { s.local.readErr = io.ErrUnexpectedEOF })
	until(t, &s.local.mu, &s.local.change, func() bool { return s.local.closed })
	next := newFakeChannel()
	<-s.Resume(next, next.requests, received)
	next.heard(t, sshwire.RequestReset)
	require.ErrorIs(t, s.end(), io.ErrUnexpectedEOF)
}

func TestConnThatStaysAloneIsReset(t *testing.T) {
	s := newScripted(t, Options{Patience: time.Millisecond})
	s.open().Close()
	require.ErrorIs(t, s.end(), ErrAway)
}

func TestGone(t *testing.T) {
	s := newScripted(t, Options{})
	s.open().Close()
	s.Detach()
	s.Gone()
	require.ErrorIs(t, s.end(), ErrGone)

	// The other end has said its end and knows ours: it has finished.
	s = newScripted(t, Options{})
	c := s.open()
	s.local.do(func() { s.local.readErr = io.EOF })
	c.heard(t, sshwire.RequestEnd)
	c.ends(0)
	c.heard(t, sshwire.RequestAck)
	c.Close()
	require.Equal(t, uint64(1), s.Detach())
	s.Gone()
	require.NoError(t, s.end())
}

// TestWindowFullBothWays: neither acks nor reading depend on our writing.
func TestWindowFullBothWays(t *testing.T) {
	s := newScripted(t, Options{Buffer: 1 << 20})
	c := s.open()
	c.do(func() { c.stuck = true })
	s.local.do(func() { s.local.toRead = 4 << 20 })
	for i := range 8 {
		c.do(func() { c.toRead = append(c.toRead, stretch(i*ackEvery, ackEvery)...) })
		until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == (i+1)*ackEvery })
		until(t, &c.mu, &c.change, func() bool { return len(c.asked) > i/2 })
	}
	c.do(func() { c.stuck = false })
	until(t, &c.mu, &c.change, func() bool { return len(c.got) >= 1<<20 })
	s.local.mu.Lock()
	require.Less(t, s.local.read, 1<<20+2*largeChunk, "read beyond the bound")
	s.local.mu.Unlock()
	s.cancel()
	require.ErrorIs(t, s.end(), context.Canceled)
}

// TestLocalThatBreaksWhenNobodyComesAnyMore: there is no other end left to be told.
func TestLocalThatBreaksWhenNobodyComesAnyMore(t *testing.T) {
	s := newScripted(t, Options{Patience: time.Millisecond})
	c := s.open()
	s.local.do(func() { s.local.readErr, s.local.stuck = io.EOF, true })
	c.heard(t, sshwire.RequestEnd)
	c.do(func() { c.toRead = stretch(0, 10) })
	c.ends(10)
	s.eventually(func() bool { return s.in.complete() })
	c.Close()
	s.eventually(func() bool { return s.orphaned })
	s.local.do(func() { s.local.closed = true })
	require.ErrorIs(t, s.end(), io.ErrClosedPipe)
}

// TestAnswerAcksAnEndThatWasAckedBefore: the ack may have been lost with its channel.
func TestAnswerAcksAnEndThatWasAckedBefore(t *testing.T) {
	s := newScripted(t, Options{})
	c := s.open()
	c.ends(0)
	c.heard(t, sshwire.RequestAck)
	s.local.do(func() { s.local.readErr = io.EOF })
	c.heard(t, sshwire.RequestEnd)
	c.Close()
	next := newFakeChannel()
	s.Answer(next, next.requests, 1)
	require.Equal(t, ssh.Marshal(sshwire.Ack{Position: 1}), next.heard(t, sshwire.RequestAck))
	require.NoError(t, s.end())
}
