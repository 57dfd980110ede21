package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Direction is which way a bulk transfer goes, seen by the client.
type Direction byte

// The directions. Their values are the first byte a client of ServeBulk sends.
const (
	Download Direction = 'd' // the server sends
	Upload   Direction = 'u' // the client sends
)

func (d Direction) String() string {
	if d == Upload {
		return "upload"
	}
	return "download"
}

// Echo is the first byte of a connection to Serve whose bytes are to come back.
const Echo byte = 'e'

// Serve serves one connection as its first byte asks: an echo of what follows,
// or a transfer as of ServeBulk. It returns at the connection's end, at once if
// it asks for anything else.
func Serve(conn net.Conn) {
	var what [1]byte
	if _, err := io.ReadFull(conn, what[:]); err != nil {
		return
	}
	if what[0] == Echo {
		echo(conn)
		return
	}
	transfer(conn, Direction(what[0]))
}

// ServeEach serves every connection as Serve does. The server owns the listener.
func ServeEach(listener net.Listener) *TCPServer { return newTCPServer(listener, Serve) }

// ServeBulk serves transfers: it sends without end to a client that wants a
// download, and to one that uploads it says now and then how much has arrived.
// The server owns the listener.
func ServeBulk(listener net.Listener) *TCPServer { return newTCPServer(listener, serveBulk) }

func serveBulk(conn net.Conn) {
	var direction [1]byte
	if _, err := io.ReadFull(conn, direction[:]); err != nil {
		return
	}
	transfer(conn, Direction(direction[0]))
}

func transfer(conn net.Conn, direction Direction) {
	switch direction {
	case Download:
		b := newMessage(0, bulkFill)
		for {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	case Upload:
		sink(conn)
	}
}

// bulkFill is how much is sent at once: the largest that newMessage fills.
const bulkFill = 65535

// sink reads until the end and reports the total, 8 bytes big endian each time.
func sink(conn net.Conn) {
	b := make([]byte, bulkChunk)
	var total uint64
	var report [8]byte
	next := time.Now()
	for {
		n, err := conn.Read(b)
		total += uint64(n) // #nosec G115 -- a length
		if now := time.Now(); err != nil || now.After(next) {
			binary.BigEndian.PutUint64(report[:], total)
			if _, err := conn.Write(report[:]); err != nil {
				return
			}
			next = now.Add(bulkReport)
		}
		if err != nil {
			return
		}
	}
}

// Transfer is what a bulk transfer moved, as counted where it arrived. What the
// buffers on the way swallowed at the start doesn't count.
type Transfer struct {
	Bytes    int64         `json:"bytes"`
	Duration time.Duration `json:"duration_ns"`
}

// BitsPerSecond is the transfer's rate.
func (t Transfer) BitsPerSecond() float64 {
	if t.Duration <= 0 {
		return 0
	}
	return float64(t.Bytes) * 8 / t.Duration.Seconds()
}

// Bulk moves as much as it can over a connection to ServeBulk until ctx ends,
// which isn't an error. It counts from the time it has been running for warm,
// when TCP has found the path's rate, to the end, also if nothing moves any more
// by then. The connection is of no use afterwards.
func Bulk(ctx context.Context, conn net.Conn, direction Direction, warm time.Duration) (Transfer, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write([]byte{byte(direction)}); err != nil {
		return Transfer{}, err
	}
	var transfer Transfer
	var err error
	if direction == Download {
		transfer, err = download(conn, warm)
	} else {
		transfer, err = upload(conn, warm)
	}
	if ctx.Err() != nil && isTimeout(err) {
		err = nil
	}
	return transfer, err
}

func download(conn net.Conn, warm time.Duration) (Transfer, error) {
	b := make([]byte, 4*bulkChunk)
	m := meter{begin: time.Now().Add(warm)}
	var total int64
	for {
		n, err := conn.Read(b)
		total += int64(n)
		m.see(total)
		if err != nil {
			return m.transfer, err
		}
	}
}

func upload(conn net.Conn, warm time.Duration) (Transfer, error) {
	sent := make(chan error, 1)
	go func() {
		b := newMessage(0, bulkFill)
		for {
			if _, err := conn.Write(b); err != nil {
				sent <- err
				return
			}
		}
	}()
	m := meter{begin: time.Now().Add(warm)}
	var report [8]byte
	for {
		if _, err := io.ReadFull(conn, report[:]); err != nil {
			if !isTimeout(err) {
				conn.Close() // or the writer may wait for ever
			}
			if sendErr := <-sent; !isTimeout(err) && !errors.Is(sendErr, net.ErrClosed) {
				err = fmt.Errorf("send: %w", sendErr)
			}
			m.stall()
			return m.transfer, err
		}
		m.see(int64(binary.BigEndian.Uint64(report[:]))) // #nosec G115 -- whatever the peer claims is only shown
	}
}

// meter turns totals into a transfer that starts at begin.
type meter struct {
	begin    time.Time
	started  time.Time
	base     int64
	latest   time.Time // when a total was seen
	transfer Transfer
}

func (m *meter) see(total int64) {
	now := time.Now()
	m.latest = now
	switch {
	case now.Before(m.begin):
	case m.started.IsZero():
		m.started, m.base = now, total
	default:
		m.transfer = Transfer{total - m.base, now.Sub(m.started)}
	}
}

// stall counts the time for which a sink has told nothing, as nothing came. Of
// the last of its reports' intervals nobody knows, and it doesn't count.
func (m *meter) stall() {
	if still := time.Since(m.latest) - bulkReport; !m.started.IsZero() && still > 0 {
		m.transfer.Duration += still
	}
}
