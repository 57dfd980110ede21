//go:build linux

package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/time/rate"
)

// attack is what the role of the attackers does, each of it at the same time.
// Zero leaves it out.
type attack struct {
	Relay  string         // its address
	Player netip.AddrPort // public UDP port of an honest agent
	Key    string         // file of a guest's key, who may log in

	Silent  int // connections that say nothing
	Slow    int // handshakes of which a byte comes now and then
	BadKeys int // logins with a key that isn't authorized, a second
	Forged  int // new flows a second, from forged sources
	Flood   int // datagrams a second of one player
	Opens   int // channels, forwards and streams of the guest, a second
}

// toll is what the attackers did.
type toll struct {
	Connections  atomic.Int64 // of those that don't log in, let in or not
	Logins       atomic.Int64 // with bad keys
	LoginsJudged atomic.Int64 // of those, that the relay looked at
	Forged       atomic.Int64
	Flooded      atomic.Int64
	Opened       atomic.Int64
}

// attackers are the role.
type attackers struct {
	attack
	toll  toll
	tasks sync.WaitGroup
}

// runAttackers attacks from when it says that it is ready until it is told to
// end, and then prints its toll.
func runAttackers(arguments []string) error {
	x := &attackers{}
	if err := json.Unmarshal([]byte(arguments[0]), &x.attack); err != nil {
		return err
	}
	// Where a session's processes are one to the scheduler (sched(7), "The
	// autogroup feature"), niceness is that of the session.
	_ = os.WriteFile("/proc/self/autogroup", fmt.Appendf(nil, "%d", attackNiceness), 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := x.begin(ctx); err != nil {
		return err
	}
	fmt.Println("attacking")
	untilTold()
	// On a busy machine they may hardly have begun. An attack that did nothing
	// would prove nothing.
	for deadline := time.Now().Add(patience / 2); x.idle() != "" && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	x.tasks.Wait()
	if part := x.idle(); part != "" {
		return fmt.Errorf("an attack did nothing: %s", part)
	}
	fmt.Println(strings.Join(x.report(), ", "))
	return nil
}

// part is one of the attacks and what it did.
type part struct {
	name   string
	wanted int
	done   int64
}

func (x *attackers) parts() []part {
	t := &x.toll
	return []part{
		{"connections", x.Silent + x.Slow, t.Connections.Load()},
		{"bad keys", x.BadKeys, t.Logins.Load()},
		{"forged", x.Forged, t.Forged.Load()},
		{"of a flood", x.Flood, t.Flooded.Load()},
		{"of a guest", x.Opens, t.Opened.Load()},
	}
}

// idle is an attack that did nothing yet, or nothing.
func (x *attackers) idle() string {
	for _, p := range x.parts() {
		if p.wanted > 0 && p.done == 0 {
			return p.name
		}
	}
	return ""
}

func (x *attackers) report() (said []string) {
	for _, p := range x.parts() {
		if p.wanted > 0 {
			said = append(said, fmt.Sprintf("%d %s", p.done, p.name))
		}
	}
	if x.BadKeys > 0 {
		said = append(said, fmt.Sprintf("%d keys judged", x.toll.LoginsJudged.Load()))
	}
	return said
}

func (x *attackers) begin(ctx context.Context) error {
	if x.Opens > 0 {
		text, err := os.ReadFile(x.Key)
		if err != nil {
			return err
		}
		key, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return err
		}
		client, err := x.logIn(ctx, key) // before strangers are in its way
		if err != nil {
			return err
		}
		x.tasks.Go(func() { x.open(ctx, client, key) })
	}
	for i := range x.Silent {
		x.tasks.Go(func() { x.loiter(ctx, member(8, i), nil) })
	}
	for i := range x.Slow {
		x.tasks.Go(func() { x.loiter(ctx, member(16, i), slowHandshake(i)) })
	}
	if x.BadKeys > 0 {
		if err := x.tryKeys(ctx); err != nil {
			return err
		}
	}
	if x.Forged > 0 {
		c, err := openCrowd(x.Player)
		if err != nil {
			return err
		}
		x.tasks.Go(func() { x.forge(ctx, c) })
	}
	if x.Flood > 0 {
		conn, err := net.Dial("udp", x.Player.String())
		if err != nil {
			return err
		}
		x.tasks.Go(func() { x.flood(ctx, conn) })
	}
	return nil
}

// dialFrom connects to the relay from an address of this machine, until ctx ends.
func (x *attackers) dialFrom(ctx context.Context, from netip.Addr) (conn net.Conn, release func(), err error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: patience}
	conn, err = dialer.DialContext(ctx, "tcp", x.Relay)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() {
		stop()
		conn.Close()
	}, nil
}

// slowHandshake is the beginning of one: of the version, or of a packet after it.
func slowHandshake(n int) []byte {
	if n%2 == 0 {
		return []byte("SSH-2.0-slow_" + string(make([]byte, 200)))
	}
	return append([]byte("SSH-2.0-slow\r\n\x00\x00\x80\x00\x04\x14"), make([]byte, 1000)...)
}

// returnTime is after how long a connection comes back that was sent away.
const returnTime = 3 * time.Second

// loiter holds a connection without logging in, says a byte now and then, and
// comes back when it is sent away.
func (x *attackers) loiter(ctx context.Context, from netip.Addr, says []byte) {
	hold := func() {
		conn, release, err := x.dialFrom(ctx, from)
		if err != nil {
			return
		}
		defer release()
		x.toll.Connections.Add(1)
		var hearing sync.WaitGroup
		defer hearing.Wait()
		closed := make(chan struct{})
		hearing.Go(func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, conn)
		})
		for _, b := range says {
			if _, err := conn.Write([]byte{b}); err != nil {
				break
			}
			select {
			case <-closed:
			case <-time.After(100 * time.Millisecond):
			}
		}
		<-closed
	}
	for ctx.Err() == nil {
		hold()
		select {
		case <-ctx.Done():
		case <-time.After(returnTime):
		}
	}
}

// tryKeys tries a key that isn't authorized, each time from another source.
func (x *attackers) tryKeys(ctx context.Context) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return err
	}
	limiter := rate.NewLimiter(rate.Limit(x.BadKeys), 1)
	var next atomic.Int64
	for range 32 {
		x.tasks.Go(func() {
			for limiter.Wait(ctx) == nil {
				conn, release, err := x.dialFrom(ctx, member(32, int(next.Add(1))))
				if err != nil {
					continue
				}
				x.toll.Logins.Add(1)
				judged := false
				_, _, _, _ = ssh.NewClientConn(conn, x.Relay, &ssh.ClientConfig{
					User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: patience,
					HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { judged = true; return nil },
				})
				if judged {
					x.toll.LoginsJudged.Add(1)
				}
				release()
			}
		})
	}
	return nil
}

// every calls f with how many are due, at a rate a second, until ctx ends. Of
// what it couldn't do in time it makes up for little.
func every(ctx context.Context, perSecond int, f func(due int) bool) {
	const tick = 2 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last, rest := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		rest += min(now.Sub(last), 5*tick).Seconds() * float64(perSecond)
		last = now
		due := int(rest)
		rest -= float64(due)
		if due > 0 && !f(due) {
			return
		}
	}
}

// forge sends from a new source each time: a million of them, and then again.
func (x *attackers) forge(ctx context.Context, c *crowd) {
	defer c.close()
	payload := []byte("forged")
	n := 0
	every(ctx, x.Forged, func(due int) bool {
		for range due {
			n = (n + 1) % (1 << 20)
			if c.say(member(64, n), payload) {
				sent, _ := c.flush()
				x.toll.Forged.Add(int64(sent))
			}
		}
		sent, _ := c.flush()
		x.toll.Forged.Add(int64(sent))
		return true
	})
}

// flood is a player who sends more than any game does, and takes the answers.
func (x *attackers) flood(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	x.tasks.Go(func() {
		for buffer := make([]byte, 2048); ; {
			if _, err := conn.Read(buffer); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	})
	packet := make([]byte, 1200)
	every(ctx, x.Flood, func(due int) bool {
		for range due {
			_, _ = conn.Write(packet)
		}
		x.toll.Flooded.Add(int64(due))
		return true
	})
}
