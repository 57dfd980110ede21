//go:build linux

package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// perSecond is how many datagrams a player sends: what shooters send.
const perSecond = 60

// A datagram is a direction, the player, the number, bytes that follow from
// player and number, and a checksum of all that.
const (
	question = 'q'
	reply    = 'r'

	datagramHead = 1 + 1 + 8
	datagramTail = 4
)

// makeDatagram makes a player's datagram. Most are small; some don't fit into a
// packet.
func makeDatagram(player byte, number uint64) []byte {
	random := rand.New(rand.NewPCG(uint64(player), number))
	size := 16 + random.IntN(100)
	switch random.IntN(50) {
	case 0:
		size = 1200
	case 1:
		size = 3000
	}
	b := make([]byte, datagramHead+size+datagramTail)
	b[0], b[1] = question, player
	binary.BigEndian.PutUint64(b[2:], number)
	for i := range size {
		b[datagramHead+i] = byte(random.Uint32())
	}
	seal(b)
	return b
}

// seal writes the checksum.
func seal(b []byte) {
	end := len(b) - datagramTail
	binary.BigEndian.PutUint32(b[end:], crc32.ChecksumIEEE(b[:end]))
}

var errChanged = errors.New("a datagram isn't what was sent")

// readDatagram takes a datagram apart.
func readDatagram(b []byte, direction byte) (player byte, number uint64, err error) {
	end := len(b) - datagramTail
	if end < datagramHead || crc32.ChecksumIEEE(b[:end]) != binary.BigEndian.Uint32(b[end:]) || b[0] != direction {
		return 0, 0, fmt.Errorf("%w: % x", errChanged, b[:min(len(b), 32)])
	}
	return b[1], binary.BigEndian.Uint64(b[2:]), nil
}

// numbers is a set of numbers that mostly follow each other.
type numbers struct{ words []uint64 }

// add reports whether the number is new.
func (s *numbers) add(number uint64) bool {
	word, bit := number/64, uint64(1)<<(number%64)
	for uint64(len(s.words)) <= word {
		s.words = append(s.words, 0)
	}
	if s.words[word]&bit != 0 {
		return false
	}
	s.words[word] |= bit
	return true
}

// player sends datagrams to a public port and checks the answers.
type player struct {
	progress
	id    byte
	conn  net.Conn
	wrong *violations
	stop  func()

	replies uint64 // once stopped
}

// startPlayer starts a player, who plays until the test's end or stop.
func (w *world) startPlayer(id byte) *player {
	w.t.Helper()
	conn, err := w.three.Player.DialContext(w.t.Context(), "udp4", w.public(udpPort))
	require.NoError(w.t, err)
	p := &player{progress: progress{name: fmt.Sprintf("player %d", id), world: w}, id: id, conn: conn, wrong: &w.wrong}
	done := make(chan struct{})
	var tasks sync.WaitGroup
	tasks.Go(func() { p.play(done) })
	tasks.Go(p.receive)
	p.stop = sync.OnceFunc(func() {
		close(done)
		conn.Close()
		tasks.Wait()
	})
	w.t.Cleanup(p.stop)
	return p
}

func (p *player) play(done <-chan struct{}) {
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for {
		// An error is an ICMP one of a datagram before: the port is closed
		// while a relay isn't there.
		_, _ = p.conn.Write(makeDatagram(p.id, p.send(1)))
		select {
		case <-ticker.C:
		case <-done:
			return
		}
	}
}

func (p *player) receive() {
	var seen numbers
	b := make([]byte, 65536)
	for {
		n, err := p.conn.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // likewise
		}
		from, number, err := readDatagram(b[:n], reply)
		switch {
		case err != nil:
			p.wrong.add("player %d: %v", p.id, err)
		case from != p.id:
			p.wrong.add("player %d got the answer to number %d of player %d", p.id, number, from)
		case !seen.add(number):
			p.wrong.add("player %d got the answer to number %d twice", p.id, number)
		default:
			p.replies++
			p.answer(number + 1)
		}
	}
}

// arena is the UDP server at home. It answers each datagram, and checks who
// comes from where.
type arena struct {
	conn  net.PacketConn
	wrong *violations

	mu      sync.Mutex
	players map[byte]*guest // guarded by mu
}

// guest is a player as the server sees one.
type guest struct {
	seen  numbers
	port  int
	ports []int // all it had, one after the other
	taken bool  // another player's datagram came from port since
}

func startArena(t testing.TB, conn net.PacketConn, wrong *violations) *arena {
	a := &arena{conn: conn, wrong: wrong, players: make(map[byte]*guest)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.serve()
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return a
}

func (a *arena) serve() {
	b := make([]byte, 65536)
	for {
		n, from, err := a.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		id, number, err := readDatagram(b[:n], question)
		if err != nil {
			a.wrong.add("server: %v", err)
			continue
		}
		a.note(id, number, from.(*net.UDPAddr).Port)
		b[0] = reply
		seal(b[:n])
		_, _ = a.conn.WriteTo(b[:n], from)
	}
}

func (a *arena) note(id byte, number uint64, port int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.players[id]
	if g == nil {
		g = new(guest)
		a.players[id] = g
	}
	if !g.seen.add(number) {
		a.wrong.add("the server got number %d of player %d twice", number, id)
	}
	if g.port == port {
		if g.taken {
			a.wrong.add("datagrams of player %d came from port %d, and one of another player's between them", id, port)
		}
		return
	}
	// After a new start the agent's sockets are others, and the system may give one
	// player's a port that another's has just given up. It is mixed up if it is both's.
	for _, o := range a.players {
		o.taken = o.taken || o.port == port
	}
	g.port, g.taken = port, false
	g.ports = append(g.ports, port)
}

// ports are the ports that a player had at the server.
func (a *arena) ports(id byte) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g := a.players[id]; g != nil {
		return g.ports
	}
	return nil
}

func TestArenaFindsPlayersMixedUp(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports []int // of player 1 and player 2 in turn
		wrong bool
	}{
		{"each its own", []int{10, 20, 10, 20}, false},
		{"new ones, one of them the other's before", []int{10, 20, 30, 10, 30, 10}, false},
		{"the same one taken first", []int{10, 20, 10, 10, 30, 10, 30}, false},
		{"one datagram through the other's", []int{10, 20, 10, 10, 10}, true},
		{"both through one", []int{10, 10, 10}, true},
	} {
		var wrong violations
		a := &arena{wrong: &wrong, players: make(map[byte]*guest)}
		for i, port := range test.ports {
			a.note(byte(1+i%2), uint64(1+i/2), port)
		}
		require.Equal(t, test.wrong, len(wrong.all()) > 0, "%s: %v", test.name, wrong.all())
	}
}
