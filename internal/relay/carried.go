package relay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/resume"
	"funnel/internal/sshwire"
)

// carried are the conns of a presence that outlive its links. Safe for
// concurrent use.
type carried struct {
	patience time.Duration // how long one may be without a link; 0: there are none

	mu   sync.Mutex
	last uint64                  // guarded by mu, as all below
	all  map[uint64]*carriedConn // by number
}

// carriedConn is one of them.
type carriedConn struct {
	number    uint64
	forwarded sshwire.Forwarded
	conn      *resume.Conn

	mu   sync.Mutex
	link *link // that its channel belongs to, or is to belong to; guarded by mu
}

// resumes says whether the conns of the presence outlive its links.
func (p *presence) resumes() bool { return p.carried.patience > 0 }

// resumable opens a channel for a new conn.
func resumable(m sshwire.Forwarded, number uint64) sshwire.Resumable {
	return sshwire.Resumable{
		Address: m.Address, Port: m.Port, OriginAddress: m.OriginAddress, OriginPort: m.OriginPort, Conn: number,
	}
}

// next is the number of a conn to be.
func (c *carried) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return c.last
}

func (c *carried) list() []*carriedConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.all))
}

// begin makes client a conn that begins with channel, of the link l. What it
// returns carries its bytes.
func (p *presence) begin(l *link, one *carriedConn, client pipe.Half, channel ssh.Channel, requests <-chan *ssh.Request) func(context.Context) (toTarget, toClient int64, err error) {
	one.link, one.conn = l, resume.New(client, resume.Options{Patience: p.carried.patience, Spare: p.relay.spare})
	one.conn.Open(channel, requests)
	p.carried.add(one)
	if p.currentLink() != l { // a newer one didn't know of it
		p.spawn(func() { p.goOn(one) })
	}
	return func(ctx context.Context) (int64, int64, error) {
		defer p.carried.remove(one)
		stats, err := one.conn.Run(ctx)
		return stats.FromLocal, stats.ToLocal, err
	}
}

func (c *carried) add(one *carriedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[one.number] = one
}

func (c *carried) remove(one *carriedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, one.number)
}

// resume has the conns go on over a new link.
func (p *presence) resume() {
	for _, one := range p.carried.list() {
		p.spawn(func() { p.goOn(one) })
	}
}

// goOn has a conn go on over the present link, unless it is there already.
func (p *presence) goOn(c *carriedConn) {
	c.mu.Lock()
	l := p.currentLink()
	if l == nil || l == c.link {
		c.mu.Unlock()
		return
	}
	c.link = l
	message := resumable(c.forwarded, c.number)
	message.Resumed, message.Received = true, c.conn.Detach()
	c.mu.Unlock()
	channel, requests, err := l.conn.OpenChannel(sshwire.ChannelResumable, ssh.Marshal(message))
	_, refused := errors.AsType[*ssh.OpenChannelError](err)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.link != l: // a newer one has its turn, and this one has ended
		if err == nil {
			p.spawn(func() { ssh.DiscardRequests(requests) })
			p.spawn(func() { _ = channel.Close() }) // fails only if the link is gone
		}
	case err == nil:
		c.conn.Resume(channel, requests, message.Received)
	case refused:
		c.conn.Gone()
	} // else the link is gone, and the next one has its turn
}
