package agent

import (
	"context"
	"sync"

	"golang.org/x/crypto/ssh"

	"funnel/internal/resume"
	"funnel/internal/sshwire"
)

// carried are the conns of an agent that outlive its links, by the relay's
// number. Safe for concurrent use.
type carried struct {
	tasks sync.WaitGroup // one for each conn

	mu  sync.Mutex
	all map[uint64]*resume.Conn // guarded by mu
}

// find is the conn with a number, or nil.
func (c *carried) find(number uint64) *resume.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[number]
}

// add notes a conn unless there is one with its number, which it returns then.
func (c *carried) add(number uint64, conn *resume.Conn) (other *resume.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.all[number]; other != nil {
		return other
	}
	if c.all == nil {
		c.all = make(map[uint64]*resume.Conn)
	}
	c.all[number] = conn
	return nil
}

func (c *carried) remove(number uint64, conn *resume.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[number] == conn {
		delete(c.all, number)
	}
}

// forget ends all conns: the relay doesn't know them any more.
func (c *carried) forget() {
	c.mu.Lock()
	all := c.all
	c.all = nil
	c.mu.Unlock()
	for _, conn := range all {
		conn.Detach()
		conn.Gone()
	}
}

// openResumable takes the offer of a conn that may outlive the link: a new one, or
// one that goes on. A new one with the number of one that is there is the same,
// offered again because the link ended before the relay knew that it was taken.
func (t *tcpLink) openResumable(ctx context.Context, offer ssh.NewChannel) {
	message, err := sshwire.ParseResumable(offer.ExtraData())
	if err != nil {
		reject(offer, ssh.ConnectionFailed, "the offer can't be read")
		return
	}
	if conn := t.agent.carried.find(message.Conn); conn != nil {
		goOn(conn, offer, message.Received)
		return
	}
	if message.Resumed {
		reject(offer, ssh.ConnectionFailed, "this agent doesn't know the connection")
		return
	}
	if !t.agent.conns.Take() {
		reject(offer, ssh.ResourceShortage, "too many connections")
		return
	}
	target, log := t.connect(ctx, message.Forwarded(), offer)
	if target == nil {
		t.agent.conns.Give()
		return
	}
	channel, requests, err := offer.Accept()
	if err != nil { // the link is gone
		t.agent.conns.Give()
		target.Close()
		return
	}
	conn := resume.New(target, resume.Options{Patience: t.agent.config.TCPResume, Spare: t.agent.spare})
	if other := t.agent.carried.add(message.Conn, conn); other != nil {
		t.agent.conns.Give()
		target.Close()
		other.Answer(channel, requests, message.Received)
		return
	}
	conn.Open(channel, requests)
	t.agent.carried.tasks.Go(func() {
		defer t.agent.conns.Give()
		stats, err := conn.Run(t.agent.lasting)
		t.agent.carried.remove(message.Conn, conn)
		log.Debug("connection ended", "client", message.OriginAddress, "to_target", stats.ToLocal, "to_client", stats.FromLocal,
			"links", stats.Channels, "windows", stats.Windows, "error", err)
	})
}

// goOn has a conn go on over the channel that is offered.
func goOn(conn *resume.Conn, offer ssh.NewChannel, received uint64) {
	channel, requests, err := offer.Accept()
	if err != nil {
		return // the link is gone
	}
	conn.Answer(channel, requests, received)
}
