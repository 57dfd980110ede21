//go:build linux

package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tally is how much went one way, and its checksum.
type tally struct {
	bytes int64
	sum   [sha256.Size]byte
}

func tallyOf(h hash.Hash, n int64) tally { return tally{n, [sha256.Size]byte(h.Sum(nil))} }

// order is what a client asks of the bulk server, and does itself at the same
// time.
type order struct {
	Size uint64 // bytes each way; 0 until the client ends its side
	Rate uint64 // bytes/s each way at most; 0 for no bound
	Seed uint64 // of what is sent
}

// pour sends noise as ordered until it is enough or stop is closed.
func (o order) pour(conn net.Conn, stop <-chan struct{}, sent *tally) error {
	source := rand.NewChaCha8([32]byte{byte(o.Seed), byte(o.Seed >> 8)})
	h := sha256.New()
	defer func() { *sent = tallyOf(h, sent.bytes) }()
	b := make([]byte, 32<<10)
	for begun := time.Now(); ; {
		n := int64(len(b))
		if o.Size > 0 {
			n = min(n, int64(o.Size)-sent.bytes)
		}
		if n == 0 {
			return nil
		}
		var wait time.Duration
		if o.Rate > 0 {
			wait = time.Duration(float64(sent.bytes)/float64(o.Rate)*float64(time.Second)) - time.Since(begun)
		}
		select {
		case <-stop:
			return nil
		case <-time.After(wait):
		}
		_, _ = source.Read(b[:n])
		h.Write(b[:n])
		m, err := conn.Write(b[:n])
		sent.bytes += int64(m)
		if err != nil {
			return err
		}
	}
}

// drain receives until the end of the stream.
func drain(r io.Reader, got *tally, count *atomic.Int64) error {
	h := sha256.New()
	defer func() { *got = tallyOf(h, got.bytes) }()
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		h.Write(b[:n])
		got.bytes += int64(n)
		if count != nil {
			count.Add(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ends are what one end of a transfer sent and got.
type ends struct {
	sent, got tally
	err       error
}

// exchange does both at once: it pours, ends its side, and drains. halt stops
// the pouring; nil to stop when the other end has ended its side.
func (o order) exchange(conn *net.TCPConn, halt <-chan struct{}, count *atomic.Int64) (e ends) {
	over := make(chan struct{})
	if halt == nil {
		halt = over
		if o.Size > 0 {
			halt = nil // it sends all of it
		}
	}
	var pour error
	var tasks sync.WaitGroup
	tasks.Go(func() {
		pour = o.pour(conn, halt, &e.sent)
		if pour == nil {
			pour = conn.CloseWrite()
		}
	})
	drained := drain(conn, &e.got, count)
	close(over)
	if drained != nil {
		conn.Close()
	}
	tasks.Wait()
	e.err = errors.Join(drained, pour)
	return e
}

// serveBulk is the bulk server: it hands over how each transfer ended.
func serveBulk(results chan<- ends) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		var o order
		if err := binary.Read(conn, binary.BigEndian, &o); err != nil {
			return
		}
		o.Seed++
		results <- o.exchange(conn, nil, nil)
	}
}

// transfer is one in progress, both ways at once.
type transfer struct {
	t        testing.TB
	conn     *net.TCPConn
	received atomic.Int64
	halt     func() // nothing, if a size is ordered
	ended    chan struct{}
	client   ends // once ended is closed
	server   <-chan ends
}

// startTransfer begins one. It ends by itself if a size is ordered, or else with
// finish.
func (w *world) startTransfer(o order) *transfer {
	w.t.Helper()
	conn, err := w.three.Player.DialContext(w.t.Context(), "tcp4", w.public(bulkPort))
	require.NoError(w.t, err)
	require.NoError(w.t, binary.Write(conn, binary.BigEndian, &o))
	halt := make(chan struct{})
	tr := &transfer{
		t: w.t, conn: conn.(*net.TCPConn), ended: make(chan struct{}), server: w.bulk,
		halt: func() {},
	}
	if o.Size == 0 {
		tr.halt = sync.OnceFunc(func() { close(halt) })
	}
	go func() {
		defer close(tr.ended)
		defer conn.Close()
		tr.client = o.exchange(tr.conn, halt, &tr.received)
	}()
	w.t.Cleanup(func() {
		tr.halt()
		conn.Close()
		<-tr.ended
	})
	return tr
}

// reached waits until so much has come back.
func (tr *transfer) reached(bytes int64) {
	tr.t.Helper()
	deadline, last := time.Now().Add(2*patience), int64(-1)
	for {
		n := tr.received.Load()
		if n >= bytes {
			return
		}
		if n > last {
			deadline, last = time.Now().Add(2*patience), n
		}
		require.Falsef(tr.t, time.Now().After(deadline), "the transfer stands still after %d bytes", n)
		select {
		case <-tr.ended:
			if n = tr.received.Load(); n >= bytes {
				return
			}
			require.Failf(tr.t, "the transfer broke", "after %d of %d bytes: %v", n, bytes, tr.client.err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// finish ends the transfer and wants equal checksums both ways.
func (tr *transfer) finish() (summary string) {
	tr.t.Helper()
	select {
	case <-tr.ended:
	default:
		tr.halt()
	}
	select {
	case <-tr.ended:
	case <-time.After(2 * patience):
		require.Failf(tr.t, "waited in vain", "the transfer doesn't end after %d bytes", tr.received.Load())
	}
	require.NoError(tr.t, tr.client.err, "the transfer, at the client")
	var server ends
	select {
	case server = <-tr.server:
	case <-time.After(patience):
		require.Fail(tr.t, "waited in vain", "the transfer doesn't end at the server")
	}
	require.NoError(tr.t, server.err, "the transfer, at the server")
	require.Equal(tr.t, tr.client.sent, server.got, "to the server")
	require.Equal(tr.t, server.sent, tr.client.got, "to the client")
	return fmt.Sprintf("%.1f and %.1f MB, checksums equal", float64(server.got.bytes)/1e6, float64(tr.client.got.bytes)/1e6)
}
