package relay

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/proto"
)

// What an agent does that is logged in and means no good. What is good of it
// is there so that what follows gets further.
const (
	linkAsks        = iota // a global request
	linkOpens              // a channel
	linkAsksOn             // a request on a channel
	linkWrites             // bytes into a channel
	linkWritesErr          // extended data, likewise
	linkEnds               // no more bytes into a channel
	linkCloses             // a channel
	linkForwards           // a good tcpip-forward
	linkCancels            // one of those, maybe
	linkTests              // a good request for test ports
	linkVisits             // a client of the last TCP port comes
	linkLane               // a good lane
	linkJoins              // one of the session there is, maybe
	linkFrames             // a frame on a lane
	linkControls           // a control message
	linkRecords            // records
	linkBinds              // a good bind
	linkPlays              // a client of the last UDP port speaks
	linkAnswers            // a datagram of a flow
	linkNoise              // bytes that aren't SSH
	linkAnnounces          // a good announce
	linkReturns            // a new link in place of this one
	linkAsksOffered        // a request on a channel that the relay opened
	linkOps
)

// FuzzLink does anything that who is logged in may try: requests, channels,
// sessions of UDP, in any order.
func FuzzLink(f *testing.F) {
	a := newArena(f)
	target := a.echo.Addr().(*net.TCPAddr)
	start := script{0} // a stock client that takes what it is offeredChannel
	agent := script{1}
	lane := start.byte(linkLane)
	for _, seed := range []script{
		start,
		{1},
		start.byte(linkAsks).byte(0).bytes(ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: 19500})).byte(1),
		start.byte(linkAsks).byte(1).bytes(ssh.Marshal(sshwire.ForwardRequest{Address: "", Port: 0})).byte(1),
		start.byte(linkAsks).byte(0).bytes(ssh.Marshal(sshwire.ForwardRequest{Address: "localhost", Port: 0})).byte(1).
			byte(linkAsks).byte(0).bytes(ssh.Marshal(sshwire.ForwardRequest{Address: "192.0.2.1", Port: 80})).byte(1),
		start.byte(linkAsks).own("no-more-sessions@openssh.com").bytes(nil).byte(1),
		start.byte(linkOpens).byte(1).bytes(ssh.Marshal(sshwire.Direct{Address: "127.0.0.1", Port: uint32(target.Port), OriginAddress: "x"})).
			byte(linkWrites).byte(0).bytes([]byte("direct")).byte(linkEnds).byte(0),
		start.byte(linkOpens).own("x11").bytes([]byte("x")).byte(linkCloses).byte(0),
		start.byte(linkOpens).byte(0).bytes(nil).byte(linkAsksOn).byte(0).byte(1).bytes(nil).byte(1).
			byte(linkAsksOn).byte(0).own("pty-req").bytes(make([]byte, 30)).byte(1),
		start.byte(linkForwards).byte(linkVisits).bytes([]byte("visitor")).byte(linkCancels).byte(linkVisits).bytes(nil),
		script{2}.byte(linkForwards).byte(linkVisits).bytes([]byte("turned away")),
		script{4}.byte(linkForwards).byte(linkVisits).bytes([]byte("waits")),
		script{6}.byte(linkForwards).byte(linkVisits).bytes([]byte("closed at once")),
		agent.byte(linkAnnounces).byte(0).byte(1).byte(0).byte(60).byte(linkForwards).byte(linkVisits).bytes([]byte("resumable")).
			byte(linkVisits).bytes(nil).byte(linkAsksOffered).byte(0).byte(0).bytes(ssh.Marshal(sshwire.Ack{Position: 4})).
			byte(linkAsksOffered).byte(0).byte(1).bytes(ssh.Marshal(sshwire.End{Total: 9})).
			byte(linkAsksOffered).byte(1).byte(2).bytes(nil).byte(linkAsks).byte(5).bytes(nil).byte(1),
		agent.byte(linkAnnounces).byte(0).byte(1).byte(0).byte(60).byte(linkForwards).byte(linkVisits).bytes([]byte("comes back")).
			byte(linkReturns).byte(linkAnnounces).byte(0).byte(1).byte(0).byte(60).byte(linkForwards).byte(linkVisits).bytes([]byte("and goes on")),
		agent.byte(linkAnnounces).byte(0).byte(1).byte(1).byte(9).byte(linkForwards).byte(linkAnnounces).byte(0).byte(0).byte(2).byte(0),
		start.byte(linkTests).byte(linkVisits).bytes([]byte("no token")).byte(linkPlays).bytes([]byte("no token")).byte(linkTests),
		lane,
		lane.byte(linkJoins).byte(linkJoins),
		lane.byte(linkBinds).byte(0).byte(1).byte(linkPlays).bytes([]byte("ping")).byte(linkAnswers).byte(0).byte(0).byte(1).bytes([]byte("pong")).
			byte(linkPlays).bytes([]byte("ping")).byte(linkJoins).byte(linkPlays).bytes([]byte("copies")),
		lane.byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Bind{Forward: 7, Host: "localhost", Port: 19501})).
			byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Unbind{Forward: 7})),
		lane.byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Bind{Forward: 8, Port: 80})).
			byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Unbind{Forward: 9})).byte(linkBinds).byte(0),
		start.byte(linkJoins),
		lane.byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Close{Code: proto.CodeClosing, Text: "bye"})),
		lane.byte(linkControls).byte(0).bytes(proto.AppendMessage(nil, proto.Bound{Forward: 1, Port: 1})),
		lane.byte(linkControls).byte(0).bytes([]byte{200, 0, 1, 'x'}),
		lane.byte(linkRecords).byte(0).bytes(proto.AppendMark(proto.AppendGone(nil, 1, proto.GoneIdle), 9)),
		lane.byte(linkRecords).byte(0).bytes([]byte{0xff, 0xff, 200, 0, 1, 'x', 0xff, 0xe4}),
		lane.byte(linkFrames).byte(0).byte(0).byte(7).bytes(nil),
		lane.byte(linkFrames).byte(0).byte(1).byte(3).bytes(nil),
		lane.byte(linkFrames).byte(0).byte(3).byte(0).bytes(nil).byte(linkFrames).byte(0).byte(4).byte(5).bytes(make([]byte, 8)),
		start.byte(linkOpens).byte(0).bytes(nil).byte(linkAsksOn).byte(0).byte(0).bytes(ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem})).byte(1).
			byte(linkWrites).byte(0).bytes(goodHello[:9]).byte(linkWrites).byte(0).bytes(append(goodHello[9:], 'x')),
		lane.byte(linkNoise).bytes([]byte("\x00\x00\x00\x40garbage")),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		a.play(t, func() error { return a.link(&program{input}) })
	})
}

// attacker is a program's link and what it has opened by it.
type attacker struct {
	*program
	arena *arena
	flags byte
	links int // how often it came back

	// Of one link.
	conn           net.Conn
	client         ssh.Conn
	stalled        func() error
	channels       []ssh.Channel
	offeredChannel *taken
	lanes          []*rawLane
	over           bool // nothing more can be said

	tcp, udp uint16 // ports bound last
	visitors []*net.TCPConn
	player   *net.UDPConn
}

// link plays a program on a link of its own. Whatever it does must be answered,
// or end it.
func (a *arena) link(p *program) (err error) {
	x := &attacker{program: p, arena: a, flags: p.byte()}
	if err := x.dial(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.hangUp()) }()
	x.player, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer x.player.Close()
	for n := 0; len(p.rest) > 0 && n < most && !x.over && err == nil; n++ {
		err = x.act()
	}
	for _, visitor := range x.visitors {
		defer visitor.Close()
	}
	// What was said is taken, or ends the link.
	if x.over {
		_ = x.client.Wait()
	} else {
		_, _, _ = x.client.SendRequest(sshwire.RequestKeepalive, true, nil)
	}
	return err
}

// dial begins a link.
func (x *attacker) dial() error {
	config := x.arena.clientConfig(x.arena.attacker)
	if x.flags&1 != 0 {
		config.ClientVersion = sshwire.AgentVersion("fuzz")
	}
	conn, err := net.Dial("tcp", x.arena.address)
	if err != nil {
		return err
	}
	stalled := watchdog(conn)
	client, channels, requests, err := ssh.NewClientConn(conn, x.arena.address, config)
	if err != nil {
		conn.Close()
		return errors.Join(err, stalled())
	}
	go ssh.DiscardRequests(requests)
	x.conn, x.client, x.stalled = conn, client, stalled
	x.channels, x.lanes = nil, nil
	x.offeredChannel = &taken{came: make(chan struct{}, 1)}
	go x.offeredChannel.take(channels, x.flags>>1&3)
	return nil
}

// hangUp ends the link, of which it is an error to be stuck.
func (x *attacker) hangUp() error {
	x.client.Close()
	return x.stalled()
}

// taken are the channels that the relay opened and the attacker took.
type taken struct {
	came     chan struct{} // what the relay offers, 1 slot
	mu       sync.Mutex
	channels []ssh.Channel // guarded by mu
}

// take does with the relay's channels as a mode says.
func (o *taken) take(offers <-chan ssh.NewChannel, mode byte) {
	for offer := range offers {
		if mode == 1 {
			_ = offer.Reject(ssh.ConnectionFailed, "no\x00thing")
		}
		if mode == 1 || mode == 2 {
			o.tell()
			continue
		}
		channel, requests, err := offer.Accept()
		if err != nil {
			continue
		}
		go ssh.DiscardRequests(requests)
		o.mu.Lock()
		o.channels = append(o.channels, channel)
		o.mu.Unlock()
		o.tell()
		if mode == 3 {
			channel.Close()
			continue
		}
		go echo(channel)
	}
}

// tell ends a wait for an offer.
func (o *taken) tell() {
	select {
	case o.came <- struct{}{}:
	default:
	}
}

// pick is one of them, nil if there is none.
func (o *taken) pick(n int) ssh.Channel {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.channels) == 0 {
		return nil
	}
	return o.channels[n%len(o.channels)]
}

// announce says who the attacker is: one of a few agents and instances.
func (x *attacker) announce() {
	id := func(b byte) string { return strings.Repeat(string(rune('a'+b%3)), sshwire.IDSize) }
	_, _, _ = x.client.SendRequest(sshwire.RequestAnnounce, true, ssh.Marshal(sshwire.Announce{
		Agent: id(x.byte()), Generation: uint64(x.byte()), Instance: id(x.byte()), Resume: uint32(x.byte()),
	}))
}

// act does the next thing of the program. That the relay won't have it, or has
// ended the link, is no error: it may.
func (x *attacker) act() error {
	switch op := x.byte() % linkOps; op {
	case linkAsks:
		name := x.text(sshwire.RequestForward, sshwire.RequestCancel, sshwire.RequestTestPorts, sshwire.RequestKeepalive,
			sshwire.RequestAnnounce, sshwire.RequestLeave)
		payload := x.bytes()
		_, _, _ = x.client.SendRequest(name, x.bool(), payload)
	case linkOpens:
		x.open(x.text(sshwire.ChannelSession, sshwire.ChannelDirect, sshwire.ChannelForwarded), x.bytes())
	case linkAsksOn:
		channel := x.channel()
		name := x.text(sshwire.RequestSubsystem, sshwire.RequestShell, sshwire.RequestExec, "eow@openssh.com")
		payload, reply := x.bytes(), x.bool()
		if channel != nil {
			_, _ = channel.SendRequest(name, reply, payload)
		}
	case linkWrites:
		if channel, p := x.channel(), x.bytes(); channel != nil {
			_, _ = channel.Write(p)
		}
	case linkWritesErr:
		if channel, p := x.channel(), x.bytes(); channel != nil {
			_, _ = channel.Stderr().Write(p)
		}
	case linkEnds:
		if channel := x.channel(); channel != nil {
			_ = channel.CloseWrite()
		}
	case linkCloses:
		if channel := x.channel(); channel != nil {
			_ = channel.Close()
		}
	case linkForwards:
		x.forward()
	case linkCancels:
		_, _, _ = x.client.SendRequest(sshwire.RequestCancel, true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(x.tcp)}))
	case linkTests:
		if ok, reply, _ := x.client.SendRequest(sshwire.RequestTestPorts, true, nil); ok {
			if ports, err := sshwire.ParseTestPorts(reply); err == nil {
				x.tcp, x.udp = uint16(ports.TCPPort), uint16(ports.UDPPort)
			}
		}
	case linkVisits:
		x.visit(x.bytes())
	case linkNoise:
		// Half a packet would have the relay wait for its other half.
		_, _ = x.conn.Write(x.bytes())
		_ = x.conn.(*net.TCPConn).CloseWrite()
		x.over = true
	case linkPlays:
		_, _ = x.player.WriteToUDP(x.bytes(), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(x.udp)})
	case linkAnnounces:
		x.announce()
	case linkReturns:
		if x.links++; x.links <= 2 {
			return errors.Join(x.hangUp(), x.dial())
		}
	case linkAsksOffered:
		n, name, payload := int(x.byte()), x.text(sshwire.RequestAck, sshwire.RequestEnd, sshwire.RequestReset,
			sshwire.RequestWindowAsk, sshwire.RequestWindowGrant, sshwire.RequestWindowBegin, sshwire.RequestData, sshwire.RequestWindowEnd, "eow@openssh.com"), x.bytes()
		if channel := x.offeredChannel.pick(n); channel != nil {
			_, _ = channel.SendRequest(name, x.bool(), payload)
		}
	default:
		x.actOnLane(op)
	}
	return nil
}

// open opens a channel and reads what comes of it.
func (x *attacker) open(kind string, payload []byte) ssh.Channel {
	channel, requests, err := x.client.OpenChannel(kind, payload)
	if err != nil {
		return nil
	}
	go ssh.DiscardRequests(requests)
	x.channels = append(x.channels, channel)
	return channel
}

// channel is one of those there are, nil if there is none.
func (x *attacker) channel() ssh.Channel {
	n := int(x.byte())
	if len(x.channels) == 0 {
		return nil
	}
	return x.channels[n%len(x.channels)]
}

func (x *attacker) forward() {
	ok, reply, _ := x.client.SendRequest(sshwire.RequestForward, true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
	if !ok {
		return
	}
	if granted, err := sshwire.ParseForwardReply(reply); err == nil {
		x.tcp = uint16(granted.Port)
	}
}

// visit connects to the port that was bound last and stays. The relay may offer
// the connection.
func (x *attacker) visit(p []byte) {
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(x.tcp)})
	if err != nil {
		return
	}
	x.visitors = append(x.visitors, conn)
	_, _ = conn.Write(p)
	select {
	case <-x.offeredChannel.came:
	case <-time.After(answerTime):
	}
}

// watchdog closes a connection that is stuck, and says so when it is stopped.
func watchdog(conn net.Conn) (stop func() error) {
	stuck := make(chan string, 1)
	timer := time.AfterFunc(playTime, func() {
		stuck <- stacks()
		conn.Close()
	})
	return func() error {
		if timer.Stop() {
			return nil
		}
		return errors.New("the relay leaves a link without an answer:\n" + <-stuck)
	}
}
