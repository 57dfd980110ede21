package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/mux"
	"funnel/internal/sshwire"
	"funnel/proto"
)

// arenaPorts are those that may be bound in an arena: out of the way of the ports
// that the system chooses, of those of other packages' tests, and of the arenas of
// the fuzzer's other processes, since an attacker may speak to a port that is no
// longer its own.
func arenaPorts() string {
	const first, size, arenas = 10000, 200, 50
	begin := first + os.Getpid()%arenas*size
	return fmt.Sprintf("%d-%d", begin, begin+size-1)
}

// playTime is how long a play waits for what must come: less than the 10 s after
// which Go's fuzzer gives a process up without a word about it.
const playTime = 8 * time.Second

// arena is a relay that a fuzz target attacks, with an honest agent in it that
// must not feel it. It outlives an input, unless that leaves something behind
// which only the end of the relay takes away.
type arena struct {
	hostKey  ssh.Signer
	honest   ssh.Signer
	attacker ssh.Signer
	keys     string // file of authorized keys
	echo     *net.TCPListener
	echoes   sync.WaitGroup

	relay   *Relay
	address string
	stop    context.CancelFunc
	done    chan error // of Run

	agent  *honestAgent
	public *net.TCPConn // through the honest agent
	player *net.UDPConn
	asked  uint64

	failed  bool
	before  int // goroutines without a relay
	settled int // goroutines with the relay and the honest agent
}

// newArena starts everything, until the end of the fuzz target.
func newArena(f *testing.F) *arena {
	directory := f.TempDir()
	a := &arena{
		hostKey: newKey(f), honest: newKey(f), attacker: newKey(f), keys: filepath.Join(directory, "authorized_keys"),
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(f, err)
	a.echo = listener
	a.echoes.Go(a.serveEchoes)
	line := func(options string, key ssh.Signer) string {
		return strings.TrimSpace(options+" "+string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + "\n"
	}
	require.NoError(f, os.WriteFile(a.keys, []byte(line("", a.honest)+
		line(fmt.Sprintf("permitopen=%q", listener.Addr()), a.attacker)+line("cert-authority", a.hostKey)), 0o600))
	f.Cleanup(func() {
		if a.relay != nil && !a.failed {
			require.NoError(f, a.end())
		}
		listener.Close()
		a.echoes.Wait()
	})
	return a
}

func (a *arena) serveEchoes() {
	for {
		conn, err := a.echo.Accept()
		if err != nil {
			return
		}
		a.echoes.Go(func() {
			defer conn.Close()
			_, _ = io.Copy(struct{ io.Writer }{conn}, conn)
		})
	}
}

// play makes an input's attack and checks what came of it. After a failure there
// is no further play.
func (a *arena) play(t *testing.T, attack func() error) {
	require.False(t, a.failed, "an earlier input broke it")
	a.failed = true
	if a.relay == nil {
		a.before = runtime.NumGoroutine()
		require.NoError(t, a.begin())
	}
	require.NoError(t, attack())
	require.NoError(t, a.check())
	a.failed = false
}

// begin starts the relay and has the honest agent log in.
func (a *arena) begin() error {
	policy, err := access.ParsePolicy([]string{arenaPorts()}, []string{"127.0.0.1"})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.relay, err = New(Config{
		Listen: []string{"127.0.0.1:0"}, HostKeys: []ssh.Signer{a.hostKey},
		Keys: access.NewKeys(a.keys, policy, log), Version: "test", Log: log,
	})
	if err != nil {
		return err
	}
	addresses, err := a.relay.Listen()
	if err != nil {
		return err
	}
	a.address = addresses[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	a.stop, a.done = cancel, make(chan error, 1)
	go func() { a.done <- a.relay.Run(ctx) }()

	client, err := ssh.Dial("tcp", a.address, a.clientConfig(a.honest))
	if err != nil {
		return fmt.Errorf("an honest login: %w", err)
	}
	a.agent, err = startHonestAgent(client)
	if err != nil {
		return fmt.Errorf("an honest agent: %w", err)
	}
	public, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(a.agent.tcp)})
	if err != nil {
		return err
	}
	a.public = public
	a.player, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(a.agent.udp)})
	if err != nil {
		return err
	}
	if err := a.alive(); err != nil {
		return err
	}
	a.settled = runtime.NumGoroutine()
	return nil
}

// clientConfig is a stock client's, with the key exchange that costs the least.
func (a *arena) clientConfig(key ssh.Signer) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config: ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}, Ciphers: []string{ssh.CipherAES128GCM}},
		User:   "fuzz", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(a.hostKey.PublicKey()),
		ClientVersion: "SSH-2.0-stock_client", Timeout: patience,
	}
}

// end stops the relay, after which nothing may be left of it.
func (a *arena) end() error {
	a.stop()
	select {
	case err := <-a.done:
		if err != nil {
			return err
		}
	case <-time.After(playTime):
		return errors.New("the relay doesn't stop:\n" + stacks())
	}
	a.public.Close()
	a.player.Close()
	a.agent.close()
	if n := a.relay.counters.left(); n != (left{}) {
		return fmt.Errorf("left when the relay has stopped: %+v", n)
	}
	if err := a.wait("when the relay has stopped", func() bool { return runtime.NumGoroutine() <= a.before }); err != nil {
		return err
	}
	a.relay = nil
	return nil
}

// alive is whether the honest agent's clients are answered, TCP and UDP.
func (a *arena) alive() error {
	a.asked++
	question := binary.BigEndian.AppendUint64(nil, a.asked)
	answer := make([]byte, len(question))
	deadline := time.Now().Add(playTime)
	_ = a.public.SetDeadline(deadline) // fails only if it is closed, as below
	if _, err := a.public.Write(question); err != nil {
		return fmt.Errorf("an honest conn: %w", err)
	}
	if _, err := io.ReadFull(a.public, answer); err != nil {
		return fmt.Errorf("an honest conn: %w\n%s", err, stacks())
	}
	if string(answer) != string(question) {
		return fmt.Errorf("an honest conn: %x became %x", question, answer)
	}
	for time.Now().Before(deadline) {
		if _, err := a.player.Write(question); err != nil {
			return fmt.Errorf("an honest player: %w", err)
		}
		_ = a.player.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, err := a.player.Read(answer)
			if err != nil {
				break // lost, or not yet there
			}
			if string(answer[:n]) == string(question) {
				return nil
			}
		}
	}
	return errors.New("an honest player has no answer\n" + stacks())
}

// check is made when an input's connections are closed: the honest must be
// served, and nothing be left of the others.
func (a *arena) check() error {
	if err := a.alive(); err != nil {
		return err
	}
	if err := a.wait("of a link", func() bool { return a.links() == 1 && a.relay.startups.strangers() == 0 }); err != nil {
		return err
	}
	// A session with ports waits for its agent, as it should. The end of the
	// relay is all that ends it before its time.
	if a.relay.counters.forwards.Count() > 2 {
		return a.end()
	}
	honest := left{links: 1, forwards: 2, conns: 1, flows: 1}
	return a.wait("of an input", func() bool {
		return a.relay.counters.left() == honest && runtime.NumGoroutine() <= a.settled
	})
}

func (a *arena) links() int {
	a.relay.mu.Lock()
	defer a.relay.mu.Unlock()
	return len(a.relay.links)
}

// strangers is how many connections aren't logged in.
func (s *startups) strangers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count + s.reserved
}

// left is what counters say there is.
type left struct{ links, forwards, conns, flows int }

func (c counters) left() left {
	return left{c.links.Count(), c.forwards.Count(), c.conns.Count(), c.flows.Count()}
}

// wait waits until nothing is left.
func (a *arena) wait(what string, gone func() bool) error {
	deadline := time.Now().Add(playTime)
	for pause := 20 * time.Microsecond; !gone(); pause = min(2*pause, 10*time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("left %s: %+v, %d links, %d not logged in, %d goroutines of %d:\n%s",
				what, a.relay.counters.left(), a.links(), a.relay.startups.strangers(), runtime.NumGoroutine(), a.settled, stacks())
		}
		time.Sleep(pause)
	}
	return nil
}

func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// honestAgent forwards a TCP and a UDP port and answers their clients itself.
type honestAgent struct {
	client   *ssh.Client
	lane     *mux.Mux
	tcp, udp uint16
	tasks    sync.WaitGroup

	decoder proto.Decoder
	answers chan []byte // records
	closed  chan struct{}
	sent    uint32
}

func startHonestAgent(client *ssh.Client) (*honestAgent, error) {
	h := &honestAgent{client: client, answers: make(chan []byte, 64), closed: make(chan struct{})}
	if err := h.forward(); err != nil {
		return nil, err
	}
	channel, requests, err := client.OpenChannel(sshwire.ChannelSession, nil)
	if err != nil {
		return nil, err
	}
	h.tasks.Go(func() { ssh.DiscardRequests(requests) })
	if _, err := channel.SendRequest(sshwire.RequestSubsystem, true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem})); err != nil {
		return nil, err
	}
	if _, err := channel.Write(goodHello); err != nil {
		return nil, err
	}
	welcome, err := proto.ReadWelcome(channel)
	if err == nil {
		err = welcome.Err()
	}
	if err != nil {
		return nil, err
	}
	h.lane, err = mux.Open(channel, func(p []byte) error { return h.decoder.Decode(p, h) })
	if err != nil {
		return nil, err
	}
	h.tasks.Go(h.answer)
	_, err = h.lane.Control().Write(proto.AppendMessage(nil, proto.Bind{Forward: 1, Host: "127.0.0.1"}))
	if err != nil {
		return nil, err
	}
	message, err := proto.ReadMessage(h.lane.Control())
	if err != nil {
		return nil, err
	}
	bound, ok := message.(proto.Bound)
	if !ok {
		return nil, fmt.Errorf("asked to bind, got %+v", message)
	}
	h.udp = bound.Port
	return h, nil
}

// forward exposes an echo.
func (h *honestAgent) forward() error {
	offers := h.client.HandleChannelOpen(sshwire.ChannelForwarded)
	h.tasks.Go(func() {
		for offer := range offers {
			channel, requests, err := offer.Accept()
			if err != nil {
				continue
			}
			h.tasks.Go(func() { ssh.DiscardRequests(requests) })
			h.tasks.Go(func() { echo(channel) })
		}
	})
	ok, reply, err := h.client.SendRequest(sshwire.RequestForward, true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
	if err != nil || !ok {
		return fmt.Errorf("a forward: %t %q %w", ok, reply, err)
	}
	granted, err := sshwire.ParseForwardReply(reply)
	h.tcp = uint16(granted.Port)
	return err
}

func (h *honestAgent) answer() {
	for {
		select {
		case <-h.closed:
			return
		case records := <-h.answers:
			if h.lane.Room() < len(records) {
				continue // lost, as it may be in a network
			}
			_ = h.lane.WriteFrame(append(make([]byte, mux.FrameSpace), records...)) // fails only at the end
		}
	}
}

func (h *honestAgent) close() {
	close(h.closed)
	h.client.Close()
	h.lane.Close()
	h.tasks.Wait()
}

// Datagram sends a datagram back. The agent is its own proto.Receiver.
func (h *honestAgent) Datagram(flow, _ uint32, payload []byte) {
	h.sent++
	select {
	case h.answers <- proto.AppendDatagram(nil, flow, h.sent, payload):
	default: // as a network would
	}
}
func (h *honestAgent) Flow(proto.FlowHeader)         {}
func (h *honestAgent) Gone(uint32, proto.GoneReason) {}
func (h *honestAgent) Mark(value uint64) {
	select {
	case h.answers <- proto.AppendEcho(nil, value):
	default:
	}
}
func (h *honestAgent) Echo(uint64) {}

// goodHello asks for a new session.
var goodHello = proto.Hello{Version: proto.Version, Lowest: proto.LowestVersion, Name: "fuzz"}.Append(nil)
