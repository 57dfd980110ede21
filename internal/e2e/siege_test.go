//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/probe"
	"funnel/internal/sshwire"
)

// maxUnderSiege is what a relay's memory may be whatever is done to it, in
// bytes.
const maxUnderSiege = 200e6

// attackNiceness puts the attackers behind what they attack: they would have
// processors of their own.
const attackNiceness = 19

// TestUnderSiege: strangers, forged sources, a player and a guest do their worst
// at the same time. An honest agent and its players stay, and new ones come. How
// long the player waits is printed, not judged, as all have the same
// processors: compare with a quiet relay, and with a player who at the same time
// asks the same server without a relay.
func TestUnderSiege(t *testing.T) {
	spans := []time.Duration{2 * time.Second, 5 * time.Second}
	worst := attack{Silent: 500, Slow: 50, BadKeys: 50, Forged: 10_000, Flood: 500, Opens: 500}
	if full() {
		spans = []time.Duration{10 * time.Second, 30 * time.Second}
		worst = attack{Silent: 2_000, Slow: 200, BadKeys: 200, Forged: 50_000, Flood: 5_000, Opens: 2_000}
	}
	// 127.0.0.0/8, where the attackers are, has no penalties by default.
	s := startSiege(t, "--per-source-penalty-exempt-list", "none")
	quiet := s.watch(spans[0])
	lines := []string{quiet.line("quiet")}
	if full() {
		for _, one := range []struct {
			name string
			attack
		}{
			{"silent connections", attack{Silent: worst.Silent}},
			{"slow handshakes", attack{Slow: worst.Slow}},
			{"bad keys", attack{BadKeys: worst.BadKeys}},
			{"forged sources", attack{Forged: worst.Forged}},
			{"a flooding player", attack{Flood: worst.Flood}},
			{"a guest's channels", attack{Opens: worst.Opens}},
		} {
			end := s.attack(one.attack)
			lines = append(lines, s.watch(spans[0]).line(one.name), "  "+end())
		}
	}
	end := s.attack(worst)
	loaded := s.watch(spans[1])
	lines = append(lines, loaded.line("all at once"), "  "+end())
	lines = append(lines, s.watch(spans[0]).line("quiet again"))
	t.Logf("round trips of 60 datagrams a second, and what is beside them\n%s\n%s", siegeHead, strings.Join(lines, "\n"))

	s.requireWell()
	require.Less(t, s.peak(), int64(maxUnderSiege))
}

// siege is a relay with an honest agent whose clients are watched.
type siege struct {
	*relay
	t      *testing.T
	guest  identity
	agent  *agent
	played netip.AddrPort // the port that is attacked
	other  string         // another one
	server string         // what both lead to
	player net.Conn
	flow   string // how the target sees the player
	conn   *checked
}

func startSiege(t *testing.T, flags ...string) *siege {
	t.Helper()
	raiseDescriptors(t, 4096)
	_, port := startRole(t, 0, "echoes")
	s := &siege{relay: startRelay(t, flags...), t: t, guest: newIdentity(t)}
	s.authorize(t, s.guest)
	target := "0:127.0.0.1:" + port
	s.agent = s.startAgent(t, "--tcp", target, "--udp", target, "--udp", target)
	tcp, udp := s.agent.exposed()
	require.Len(t, tcp, 1)
	require.Len(t, udp, 2)
	s.played, s.other, s.server = netip.MustParseAddrPort(udp[0]), udp[1], "127.0.0.1:"+port
	s.player = dialUDP(t, udp[0])
	s.flow = s.whoami(s.player)
	s.conn = check(t, tcp[0])
	return s
}

// whoami is how the target sees who speaks by conn.
func (s *siege) whoami(conn net.Conn) string {
	s.t.Helper()
	answer, err := ask(conn)
	require.NoError(s.t, err)
	return answer
}

// ask asks the target until it answers, as long as a player is patient.
func ask(conn net.Conn) (string, error) {
	question := fmt.Appendf(nil, "?%d", rand.Uint64())
	buffer := make([]byte, 2048)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := conn.Write(question); err != nil {
			return "", err
		}
		if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return "", err
		}
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				break
			}
			if answer, found := bytes.CutPrefix(buffer[:n], append(question, '|')); found {
				return string(answer), nil
			}
		}
	}
	return "", errors.New("no answer")
}

// attack starts the attackers. end stops them and says what they did.
func (s *siege) attack(a attack) (end func() string) {
	s.t.Helper()
	a.Relay, a.Player, a.Key = s.address, s.played, s.guest.file
	text, err := json.Marshal(a)
	require.NoError(s.t, err)
	role, ready := startRole(s.t, attackNiceness, "attackers", string(text))
	require.Equal(s.t, "attacking", ready)
	return func() string { return strings.TrimSpace(strings.TrimPrefix(role.end(), ready)) }
}

// seen is what an honest player and an operator see of some seconds.
type seen struct {
	player, direct probe.Summary
	logins, known  int     // of an agent that was there before: tried, and let in
	strangers, new int     // of agents that weren't
	players, in    int     // new ones at a port that isn't attacked
	relay, agent   float64 // processors in use
	memory         int64
}

// siegeHead stands above lines.
var siegeHead = fmt.Sprintf("%-18s %8s %8s %8s %8s %6s %11s %11s %10s %10s %11s %6s %6s %9s", "times in ms", "p50", "p90", "p99", "max", "lost",
	"direct p50", "direct p99", "agents in", "new agents", "new players", "relay", "agent", "relay RSS")

func (s seen) line(name string) string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	of := func(some, all int) string { return fmt.Sprintf("%d/%d", some, all) }
	p, d := s.player, s.direct
	return fmt.Sprintf("%-18s %8.2f %8.2f %8.2f %8.1f %5.1f%% %11.2f %11.2f %10s %10s %11s %5.0f%% %5.0f%% %5.1f MiB", name,
		ms(p.P50), ms(p.P90), ms(p.P99), ms(p.Max), 100*p.Loss(), ms(d.P50), ms(d.P99),
		of(s.known, s.logins), of(s.new, s.strangers), of(s.in, s.players),
		100*s.relay, 100*s.agent, float64(s.memory)/(1<<20))
}

// watch plays for a while, with all that is beside it. What must not happen
// fails the test.
func (s *siege) watch(span time.Duration) (w seen) {
	s.t.Helper()
	relayBefore, agentBefore, begun := s.ticks(), s.agent.ticks(), time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), span)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { s.logIn(ctx, &w) })
	beside.Go(func() { s.join(ctx, &w) })
	plan := probe.Plan{Rate: 60, Size: 128, Duration: span, Grace: time.Second}
	direct := dialUDP(s.t, s.server)
	beside.Go(func() {
		all, err := probe.UDP(s.t.Context(), plan, direct)
		if err != nil {
			s.t.Errorf("a player without a relay: %v", err)
		}
		w.direct = probe.Summarize(0, all...)
	})
	all, err := probe.UDP(s.t.Context(), plan, s.player)
	require.NoError(s.t, err)
	beside.Wait()
	elapsed := time.Since(begun).Seconds()
	w.player = probe.Summarize(0, all...)
	w.relay = float64(s.ticks()-relayBefore) / 100 / elapsed
	w.agent = float64(s.agent.ticks()-agentBefore) / 100 / elapsed
	w.memory = s.resident()
	require.Positive(s.t, w.player.Received, "the player is answered")
	require.Equal(s.t, w.logins, w.known, "an agent that was there before may come")
	require.Equal(s.t, w.players, w.in, "players may come to a port that isn't attacked")
	return w
}

// logIn logs in every now and then, from where the agent is and from elsewhere.
func (s *siege) logIn(ctx context.Context, w *seen) {
	for n := 0; ctx.Err() == nil; n++ {
		w.logins++
		if err := s.tryLogin(netip.MustParseAddr("127.0.0.1")); err == nil {
			w.known++
		} else {
			s.t.Logf("an honest login: %v", err)
		}
		w.strangers++
		if s.tryLogin(netip.AddrFrom4([4]byte{127, 201, byte(rand.Uint32()), byte(rand.Uint32())})) == nil {
			w.new++
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// tryLogin logs in once.
func (s *siege) tryLogin(from netip.Addr) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: patience}
	conn, err := dialer.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	config := sshwire.ClientConfig("test")
	config.User, config.Auth, config.HostKeyCallback = "honest", []ssh.AuthMethod{ssh.PublicKeys(s.key.signer)}, ssh.InsecureIgnoreHostKey()
	link, channels, requests, err := ssh.NewClientConn(conn, s.address, config)
	if err != nil {
		return err
	}
	return ssh.NewClient(link, channels, requests).Close()
}

// join has a new player come every now and then.
func (s *siege) join(ctx context.Context, w *seen) {
	for ctx.Err() == nil {
		w.players++
		conn, err := net.Dial("udp", s.other)
		if err == nil {
			_, err = ask(conn)
			conn.Close()
		}
		if err == nil {
			w.in++
		} else {
			s.t.Logf("a new player: %v", err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// requireWell wants all who were there at the beginning to be there still.
func (s *siege) requireWell() {
	s.t.Helper()
	require.Equal(s.t, s.flow, s.whoami(s.player), "the player's flow is another one now")
	s.t.Logf("the connection carried %.1f MiB and back, and its checksum is right", float64(s.conn.end())/(1<<20))
	require.Equal(s.t, 1, strings.Count(s.agent.said(), "funnel is up: "), "the agent lost its link")
	require.NotContains(s.t, s.said(), "panic")
	require.NotContains(s.t, s.said(), "level=ERROR")
}

// peak is the most memory that the relay ever had, in bytes.
func (s *siege) peak() int64 { return s.memory("VmHWM") }

// checked is a connection whose bytes are held against those that come back.
type checked struct {
	t     *testing.T
	conn  *net.TCPConn
	stop  chan struct{}
	tasks sync.WaitGroup
	sent  int64
	err   error // of the tasks
}

// check begins to send random bytes by a connection, a chunk now and then.
func check(t *testing.T, address string) *checked {
	t.Helper()
	c := &checked{t: t, conn: dialTCP(t, address), stop: make(chan struct{})}
	require.NoError(t, c.conn.SetDeadline(time.Time{}))
	sums := make(chan [sha256.Size]byte, 2)
	failed := make(chan error, 2)
	c.tasks.Go(func() {
		sum := sha256.New()
		failed <- c.send(io.MultiWriter(c.conn, sum))
		sums <- [sha256.Size]byte(sum.Sum(nil))
	})
	c.tasks.Go(func() {
		sum := sha256.New()
		_, err := io.Copy(sum, c.conn)
		failed <- err
		sums <- [sha256.Size]byte(sum.Sum(nil))
	})
	c.tasks.Go(func() {
		c.err = errors.Join(<-failed, <-failed)
		if one, other := <-sums, <-sums; one != other && c.err == nil {
			c.err = errors.New("other bytes came back")
		}
	})
	t.Cleanup(func() {
		c.conn.Close()
		c.tasks.Wait()
	})
	return c
}

func (c *checked) send(w io.Writer) error {
	source := noise(9)
	chunk := make([]byte, 8<<10)
	for {
		select {
		case <-c.stop:
			return c.conn.CloseWrite()
		case <-time.After(50 * time.Millisecond):
		}
		_, _ = io.ReadFull(source, chunk) // noise never ends
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		c.sent += int64(len(chunk))
	}
}

// end wants all that was sent to have come back, in order and without a change,
// and returns how much it was.
func (c *checked) end() int64 {
	c.t.Helper()
	close(c.stop)
	require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(patience)))
	c.tasks.Wait()
	require.NoError(c.t, c.err)
	return c.sent
}
