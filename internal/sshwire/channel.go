package sshwire

import (
	"io"

	"golang.org/x/crypto/ssh"
)

// Channel is an SSH channel that tells when the peer has closed it, which an
// ssh.Channel by itself shows only to those who read or write.
type Channel struct {
	ssh.Channel
	closed    chan struct{}
	plainPeer bool // see EndsWithClose
}

// NewChannel returns channel with the requests that came with it, which it
// refuses from now on. That takes a goroutine, which ends when the peer closes
// the channel or the connection ends: see Closed.
func NewChannel(channel ssh.Channel, requests <-chan *ssh.Request) *Channel {
	c := &Channel{Channel: channel, closed: make(chan struct{})}
	go c.refuse(requests)
	return c
}

// NewPlainChannel is NewChannel for a peer that isn't one of funnel's programs:
// see EndsWithClose.
func NewPlainChannel(channel ssh.Channel, requests <-chan *ssh.Request) *Channel {
	c := NewChannel(channel, requests)
	c.plainPeer = true
	return c
}

// EndsWithClose says whether the peer may mean no more than the end of a
// conversation when it closes the channel without an EOF before, as programs on
// top of x/crypto/ssh do. Funnel's own always send EOF first unless they give
// the conversation up.
func (c *Channel) EndsWithClose() bool { return c.plainPeer }

// Closed is closed when the peer has closed the channel or the connection has
// ended. What it sent before may still be there to be read. Until then a peer
// may make us keep a channel's memory, up to 2 MiB, even after our own Close.
func (c *Channel) Closed() <-chan struct{} { return c.closed }

// Read reads what the peer sends. At its end, io.EOF, Closed is closed already
// if the end came with the close of the channel.
func (c *Channel) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	if err == io.EOF && c.isClosing() {
		<-c.closed
	}
	return n, err
}

// isClosing says whether the peer has closed the channel, or we have. When the
// peer does, x/crypto/ssh ends reading before it closes the requests, but only
// after it has ended writing, which is asked for here: by a request that needs
// no answer. It is OpenSSH's "end of write" (PROTOCOL §2.1), and true: nothing
// more will be read.
func (c *Channel) isClosing() bool {
	_, err := c.SendRequest(requestEndOfWrite, false, nil)
	return err != nil
}

func (c *Channel) refuse(requests <-chan *ssh.Request) {
	defer close(c.closed)
	for request := range requests {
		_ = request.Reply(false, nil) // fails only if the channel is gone
	}
}
