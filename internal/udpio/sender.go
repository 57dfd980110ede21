package udpio

import "net/netip"

// Sender collects datagrams for any number of Conns and sends them: those of one
// Conn together, in the order in which they were added. It never waits for the
// network: what the kernel cannot take at once is dropped, as a full network
// interface would. (On systems other than Linux a send may wait until the local
// interface has room.) A Sender is for one goroutine; several Senders may send on
// the same Conn at once.
type Sender struct {
	messages []outgoing // in the order of Add; linked per group by next
	groups   []group    // one per Conn that has messages, in order of first use
	table    [tableSize]tableEntry
	round    uint32 // the number of the current collection; entries of others are free
	sent     int    // of messages that were sent because there was no room for more
	dropped  int
	system   senderSystem
}

// outgoing is a datagram that waits in a Sender.
type outgoing struct {
	data   []byte
	remote netip.AddrPort
	local  netip.Addr
	next   int32 // the next message of the same group, or none
}

// group is the datagrams of one Conn that wait in a Sender.
type group struct {
	conn  *Conn
	first int32
	last  int32
	count int32
}

// none ends a list of messages.
const none = -1

// tableSize is the size of a Sender's hash table: twice maxPending, so that half
// of it is free when every message goes to a Conn of its own.
const tableSize = 2 * maxPending

type tableEntry struct {
	round uint32
	group int32
}

// NewSender returns an empty Sender.
func NewSender() *Sender {
	s := &Sender{
		messages: make([]outgoing, 0, maxPending),
		groups:   make([]group, 0, maxPending),
		round:    1,
	}
	s.system.init(s)
	return s
}

// Add collects one datagram of 0 to [MaxDatagram] bytes. data must stay unchanged
// until [Sender.Flush] returns. remote is where it goes, and invalid for the peer
// of a connected socket; local is the address it shall come from, as a [Message]
// gave it, and invalid to let the system choose. When a Sender is full, Add sends
// what it has; the next Flush tells the outcome.
func (s *Sender) Add(conn *Conn, data []byte, remote netip.AddrPort, local netip.Addr) {
	if len(s.messages) == maxPending {
		s.transmit()
	}
	index := int32(len(s.messages)) // #nosec G115 -- at most a batch
	s.messages = append(s.messages, outgoing{data: data, remote: remote, local: local, next: none})
	g := s.groupOf(conn)
	if g.count == 0 {
		g.first = index
	} else {
		s.messages[g.last].next = index
	}
	g.last = index
	g.count++
}

// groupOf finds or makes the group of conn.
func (s *Sender) groupOf(conn *Conn) *group {
	// Datagrams tend to come in runs for one socket.
	if n := len(s.groups); n > 0 && s.groups[n-1].conn == conn {
		return &s.groups[n-1]
	}
	for i := conn.id % tableSize; ; i = (i + 1) % tableSize {
		entry := &s.table[i]
		if entry.round != s.round {
			*entry = tableEntry{round: s.round, group: int32(len(s.groups))} // #nosec G115 -- at most a batch
			s.groups = append(s.groups, group{conn: conn})
			return &s.groups[len(s.groups)-1]
		}
		if g := &s.groups[entry.group]; g.conn == conn {
			return g
		}
	}
}

// Pending returns how many datagrams wait to be sent.
func (s *Sender) Pending() int { return len(s.messages) }

// Flush sends what was added since the last Flush. It returns how many datagrams
// the kernel took and how many were dropped, because a queue of the kernel was
// full, a Conn was closed or the kernel refused them: too long for the path, no
// route, forbidden by a firewall. A refusal concerns only the one datagram.
func (s *Sender) Flush() (sent, dropped int) {
	if len(s.messages) > 0 {
		s.transmit()
	}
	sent, dropped = s.sent, s.dropped
	s.sent, s.dropped = 0, 0
	return sent, dropped
}

// transmit sends all messages and empties the Sender.
func (s *Sender) transmit() {
	sent := 0
	for i := range s.groups {
		sent += s.groups[i].conn.engine.transmit(s, &s.groups[i])
	}
	s.sent += sent
	s.dropped += len(s.messages) - sent
	// Cleared so that an idle Sender keeps neither buffers nor closed Conns.
	clear(s.messages)
	clear(s.groups)
	s.messages, s.groups = s.messages[:0], s.groups[:0]
	if s.round++; s.round == 0 {
		clear(s.table[:])
		s.round = 1
	}
}
