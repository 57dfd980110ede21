package resume

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// FuzzScript drives a conn by a script of what local and the other end do, three
// bytes each. Whatever that is, the conn ends, local gets what an honest other
// end sent and nothing twice, and each channel gets local's bytes from where the
// other end said it was.
func FuzzScript(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("o\x00\x00l\x10\x00d\x00\x40a\x10\x00d\x01\x00e\x01\x40L\x00\x00a\x10\x01"))
	f.Add([]byte("o\x00\x00l\xff\xffc\x00\x00r\x00\x00a\x10\x00l\x00\x10d\xff\xffc\x00\x00r\x00\x00a\xff\xffd\x00\x10e\x00\x00"))
	f.Add([]byte("o\x00\x00l\x00\x20w\x00\x00n\x00\x10l\x40\x00s\x00\x00d\x20\x00n\x00\x20n\x00\x00w\x00\x00s\x00\x00R\x00\x00"))
	f.Add([]byte("o\x00\x00L\x00\x00e\x00\x00c\x00\x00g\x00\x00"))
	f.Add([]byte("o\x00\x00l\xff\xff.\x00\x07G\x00\x00.\x00\x07a\x80\x00l\xff\xff.\x00\x07a\xff\xff.\x00\x07c\x00\x00r\x00\x00a\xf0\x00G\x00\x00.\x00\x07"))
	f.Add([]byte("o\x00\x00d\x10\x00A\x10\x00.\x00\x07B\x00\x10d\x00\x10D\x20\x00D\x00\x01.\x00\x07N\x00\x00d\x00\x80A\x00\x00.\x00\x07B\x00\x00D\xff\xffs\x00\x00D\x00\x40f\x00\x00s\x00\x00"))
	f.Add([]byte("o\x00\x00A\x00\x00.\x00\x07B\x00\x00s\x00\x00D\x20\x00D\x20\x00n\x00\x00s\x00\x00d\x10\x00A\x00\x00.\x00\x07B\x00\x00D\x20\x00.\x00\x07N\x00\x00d\x00\x01"))
	f.Add([]byte("l\x00\x01E\x00\x00r\x00\x00r\x00\x00o\x00\x00n\x00\x00"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 300 {
			return
		}
		options := wideOptions()
		options.Buffer, options.windows.narrow, options.windows.wide = 64<<10, 8<<10, 2<<20
		s := newScripted(t, options)
		p := &player{s: s}
		for ; len(script) >= 3; script = script[3:] {
			p.play(script[0], int(binary.BigEndian.Uint16(script[1:])))
		}
		for _, c := range p.channels {
			_ = c.Close()
		}
		s.local.do(func() { s.local.stuck = false })
		s.cancel()
		_ = s.end()
		if got := s.local.got; !bytes.Equal(got, stretch(0, len(got))) {
			t.Fatalf("local got other bytes than were sent")
		}
		for i, c := range p.channels {
			from := p.from[i]
			if from >= 0 && !bytes.Equal(c.got, stretch(from, len(c.got))) {
				t.Fatalf("channel %d got other bytes than local's from %d on", i, from)
			}
			if from >= 0 && c.begun >= 0 && c.begunAt != from+c.begun {
				t.Fatalf("channel %d was told that data requests begin at %d after %d bytes from %d on", i, c.begunAt, c.begun, from)
			}
			if c.wrong != "" {
				t.Fatalf("channel %d got %s", i, c.wrong)
			}
		}
		if left := s.options.Spare.left.Load(); left != testSpare {
			t.Fatalf("%d bytes were not given back", testSpare-left)
		}
	})
}

// player plays a script.
type player struct {
	s        *scripted
	channels []*fakeChannel
	from     []int // where each channel's bytes begin; below 0 if that isn't known yet
	sent     int   // bytes of the other end, on the latest channel and before
	asked    bool  // for a window on the latest channel
	broken   bool  // what is sent on it from now on may come before what broke the protocol
	wide     bool  // what comes from start on comes in data requests, the next of them at next
	start    int
	next     int
}

func (p *player) play(what byte, n int) {
	local := p.s.local
	switch what {
	case 'l':
		local.do(func() { local.toRead += n })
	case 'L':
		local.do(func() { local.readErr = io.EOF })
	case 'E':
		local.do(func() { local.readErr = io.ErrUnexpectedEOF })
	case 's':
		local.do(func() { local.stuck = !local.stuck })
	case 'g':
		p.s.Gone()
	case '.':
		time.Sleep(time.Duration(n%8) * 100 * time.Microsecond) // for what is under way
	case 'o':
		c := p.begin(0)
		p.s.Open(c, c.requests)
	case 'r':
		p.sent = int(p.s.Detach())
		c := p.begin(-1)
		p.s.Resume(c, c.requests, uint64(p.sent))
	case 'n':
		c := p.begin(n)
		p.s.Answer(c, c.requests, uint64(n))
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, request := range c.asked {
			if request.Type == sshwire.RequestAck {
				p.sent = int(binary.BigEndian.Uint64(request.Payload))
				break
			}
		}
	default:
		if len(p.channels) > 0 {
			p.peer(what, n)
		}
	}
}

// hasGranted says whether the conn has granted a window.
func (c *fakeChannel) hasGranted() (granted bool) {
	c.do(func() {
		granted = slices.ContainsFunc(c.asked, func(r ssh.Request) bool { return r.Type == sshwire.RequestWindowGrant })
	})
	return granted
}

func (p *player) begin(from int) *fakeChannel {
	c := newFakeChannel()
	p.channels, p.from = append(p.channels, c), append(p.from, from)
	p.wide, p.next, p.asked, p.broken = false, 0, false, false
	return c
}

// peer is what the other end does on the latest channel.
func (p *player) peer(what byte, n int) {
	last := len(p.channels) - 1
	c := p.channels[last]
	switch what {
	case 'd':
		if p.broken {
			return
		}
		if p.wide {
			n = min(n, p.start-p.sent)
		}
		c.do(func() { c.toRead = append(c.toRead, stretch(p.sent, n)...) })
		p.sent += n
	case 'w':
		c.do(func() { c.stuck = !c.stuck })
	case 'a':
		if p.from[last] < 0 {
			p.from[last] = n
		}
		c.acks(uint64(n))
	case 'A':
		p.asked = true
		c.asks(uint64(p.sent + n))
	case 'G':
		c.grants(uint32(sshwire.MinWindow + n))
	case 'B': // n bytes are missing before
		if !p.asked || p.wide { // it breaks the protocol
			c.begins(uint64(p.sent + n))
		} else if c.hasGranted() {
			p.wide, p.start, p.next = true, p.sent+n, p.sent+n
			c.begins(uint64(p.next))
		}
	case 'D':
		if n > 0 && !p.broken {
			c.sends(p.next, n)
		}
		if p.wide {
			p.next += n
		}
	case 'N':
		var got int
		p.s.local.do(func() { got = len(p.s.local.got) })
		switch {
		case p.wide && got >= p.next:
			p.wide, p.sent = false, p.next
			c.do(func() { c.asked = nil }) // the grant is used up
			c.stops()
		case p.wide || !p.asked: // it breaks the protocol
			p.wide, p.broken = false, true
			c.stops()
		}
	case '!':
		c.says(sshwire.RequestData, make([]byte, sshwire.MaxData+1+n))
	case 'e':
		c.ends(uint64(n))
	case 'f': // an honest end
		c.ends(uint64(max(p.sent, p.next)))
	case 'R':
		c.says(sshwire.RequestReset, nil)
	case '?':
		c.says("unknown@example.com", ssh.Marshal(sshwire.Ack{Position: uint64(n)}))
	case 'c':
		_ = c.Close()
	}
}
