package pipe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// connected returns both ends of a TCP connection over loopback.
func connected(t *testing.T) (near, far *net.TCPConn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

// result is what Join returned.
type result struct {
	stats Stats
	err   error
}

// joined runs Join over two TCP connections and returns their far ends.
func joined(t *testing.T, ctx context.Context) (client, target *net.TCPConn, done <-chan result) {
	a, client := connected(t)
	b, target := connected(t)
	return client, target, start(t, ctx, a, b)
}

func start(t *testing.T, ctx context.Context, a, b Half) <-chan result {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan result, 1)
	var running sync.WaitGroup
	running.Go(func() {
		stats, err := Join(ctx, a, b)
		done <- result{stats, err}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return done
}

func await(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		require.Fail(t, "Join did not return")
		return result{}
	}
}

func deadline(t *testing.T, conns ...net.Conn) {
	for _, conn := range conns {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	}
}

func TestHalfCloseLeavesTheOtherDirection(t *testing.T) {
	for _, name := range []string{"from a", "from b"} {
		t.Run(name, func(t *testing.T) {
			first, second, done := joined(t, t.Context())
			if name == "from b" {
				first, second = second, first
			}
			deadline(t, first, second)
			_, err := first.Write([]byte("question"))
			require.NoError(t, err)
			require.NoError(t, first.CloseWrite())

			heard, err := io.ReadAll(second)
			require.NoError(t, err)
			require.Equal(t, "question", string(heard))

			// Only now, after the end of the other direction, comes the answer.
			_, err = second.Write([]byte("a longer answer"))
			require.NoError(t, err)
			require.NoError(t, second.CloseWrite())
			heard, err = io.ReadAll(first)
			require.NoError(t, err)
			require.Equal(t, "a longer answer", string(heard))

			r := await(t, done)
			require.NoError(t, r.err)
			require.Equal(t, int64(len("question")+len("a longer answer")), r.stats.AToB+r.stats.BToA)
		})
	}
}

func TestBytesCrossUnchanged(t *testing.T) {
	client, target, done := joined(t, t.Context())
	deadline(t, client, target)
	const size = 3<<20 + 17
	var tasks sync.WaitGroup
	sums := make([][2][sha256.Size]byte, 2)
	for i, pair := range [][2]*net.TCPConn{{client, target}, {target, client}} {
		from, to := pair[0], pair[1]
		data := make([]byte, size)
		random := rand.NewChaCha8([32]byte{byte(i)})
		_, _ = random.Read(data)
		sums[i][0] = sha256.Sum256(data)
		tasks.Go(func() {
			// Pieces of many sizes go through both kinds of buffers.
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+int(random.Uint64()%100_000))
				if _, err := from.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			_ = from.CloseWrite()
		})
		tasks.Go(func() {
			received, _ := io.ReadAll(to)
			sums[i][1] = sha256.Sum256(received)
		})
	}
	tasks.Wait()
	require.Equal(t, sums[0][0], sums[0][1])
	require.Equal(t, sums[1][0], sums[1][1])
	r := await(t, done)
	require.NoError(t, r.err)
	require.Equal(t, Stats{AToB: size, BToA: size}, r.stats)
}

// requireReset reads until the end and wants it to be a reset.
func requireReset(t *testing.T, conn net.Conn) {
	t.Helper()
	deadline(t, conn)
	_, err := io.Copy(io.Discard, conn)
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
}

func TestResetIsPassedOn(t *testing.T) {
	for _, name := range []string{"from a", "from b"} {
		t.Run(name, func(t *testing.T) {
			first, second, done := joined(t, t.Context())
			if name == "from b" {
				first, second = second, first
			}
			require.NoError(t, first.SetLinger(0))
			require.NoError(t, first.Close())
			requireReset(t, second)
			require.Error(t, await(t, done).err)
		})
	}
}

func TestResetAfterHalfCloseIsPassedOn(t *testing.T) {
	client, target, done := joined(t, t.Context())
	deadline(t, client, target)
	require.NoError(t, client.CloseWrite())
	_, err := io.ReadAll(target)
	require.NoError(t, err)
	require.NoError(t, target.SetLinger(0))
	require.NoError(t, target.Close())
	requireReset(t, client)
	require.Error(t, await(t, done).err)
}

func TestCancelResetsBoth(t *testing.T) {
	reason := errors.New("the link is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	client, target, done := joined(t, ctx)
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	deadline(t, target)
	_, err = io.ReadFull(target, make([]byte, 1))
	require.NoError(t, err)

	cancel(reason)
	require.ErrorIs(t, await(t, done).err, reason)
	requireReset(t, client)
	requireReset(t, target)
}

func TestPeerThatDoesNotReadMakesTheOtherWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _, done := joined(t, ctx)

	// Far more than the kernel's buffers on the way; only a short deadline
	// ends it, and a pipe with a buffer without bounds would take it all.
	chunk := make([]byte, 1<<20)
	written, limit := 0, 1<<30
	for written < limit {
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err := client.Write(chunk)
		written += n
		if err != nil {
			break
		}
	}
	require.Less(t, written, limit)
	cancel()
	require.ErrorIs(t, await(t, done).err, context.Canceled)
}

// channelHalf is a half that tells when its peer has closed it, as
// sshwire.Channel does.
type channelHalf struct {
	net.Conn
	gone  chan struct{}
	ended chan struct{} // CloseWrite was called
}

func newChannelHalf(t *testing.T) (half *channelHalf, peer net.Conn) {
	near, far := net.Pipe()
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return &channelHalf{Conn: near, gone: make(chan struct{}), ended: make(chan struct{})}, far
}

func (c *channelHalf) Closed() <-chan struct{} { return c.gone }

// CloseWrite is not told to the peer, which a net.Pipe couldn't.
func (c *channelHalf) CloseWrite() error {
	close(c.ended)
	return nil
}

// hangUp is what the peer's close does: reading ends, writing fails.
func (c *channelHalf) hangUp(peer net.Conn) {
	close(c.gone)
	peer.Close()
}

func TestHangUpResets(t *testing.T) {
	half, peer := newChannelHalf(t)
	b, client := connected(t)
	done := start(t, t.Context(), half, b)
	_, err := peer.Write([]byte("some of it"))
	require.NoError(t, err)
	half.hangUp(peer)
	requireReset(t, client)
	require.ErrorIs(t, await(t, done).err, ErrHungUp)
}

func TestHangUpAfterItsEndResets(t *testing.T) {
	half, peer := newChannelHalf(t)
	b, client := connected(t)
	done := start(t, t.Context(), half, b)
	deadline(t, client)

	peer.Close() // an end of sending, as nothing is said of a close
	_, err := io.ReadAll(client)
	require.NoError(t, err, "an end of sending is passed on as one")

	half.hangUp(peer)
	require.ErrorIs(t, await(t, done).err, ErrHungUp)
	require.Eventually(t, func() bool {
		_, err := client.Write([]byte("x"))
		return err != nil
	}, patience, time.Millisecond, "nobody is there to write to")
}

func TestCloseAfterBothEndsIsClean(t *testing.T) {
	half, peer := newChannelHalf(t)
	b, client := connected(t)
	done := start(t, t.Context(), half, b)
	deadline(t, client)

	require.NoError(t, client.CloseWrite())
	<-half.ended
	_, err := peer.Write([]byte("the answer"))
	require.NoError(t, err)
	received := make([]byte, len("the answer"))
	_, err = io.ReadFull(client, received)
	require.NoError(t, err)

	half.hangUp(peer)
	rest, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, await(t, done).err)
}

// stubborn is a writer that breaks its promises.
type stubborn struct {
	n   int
	err error
}

func (s stubborn) Write(p []byte) (int, error) { return min(s.n, len(p)), s.err }

func TestCopyErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		dst  io.Writer
		src  io.Reader
		want error
	}{
		"write fails":             {stubborn{0, broken}, bytes.NewReader([]byte("abc")), broken},
		"write is short":          {stubborn{1, nil}, bytes.NewReader([]byte("abc")), io.ErrShortWrite},
		"end of file in a write":  {stubborn{0, io.EOF}, bytes.NewReader([]byte("abc")), io.ErrClosedPipe},
		"write fails with a lot":  {stubborn{smallBuffer, nil}, bytes.NewReader(make([]byte, 100_000)), io.ErrShortWrite},
		"read fails":              {io.Discard, io.MultiReader(bytes.NewReader(make([]byte, 100_000)), failing{syscall.ECONNRESET}), syscall.ECONNRESET},
		"nothing":                 {io.Discard, bytes.NewReader(nil), nil},
		"exactly a small buffer":  {io.Discard, bytes.NewReader(make([]byte, smallBuffer)), nil},
		"exactly a large buffer":  {io.Discard, bytes.NewReader(make([]byte, largeBuffer)), nil},
		"small, then large ones":  {io.Discard, bytes.NewReader(make([]byte, smallBuffer+3*largeBuffer)), nil},
		"end of file with a read": {io.Discard, &finalReader{make([]byte, 10)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := copyBytes(test.dst, test.src)
			require.ErrorIs(t, err, test.want)
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// finalReader returns its bytes and the end at once.
type finalReader struct{ rest []byte }

func (f *finalReader) Read(p []byte) (int, error) {
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, io.EOF
}

func TestIdleDirectionHoldsASmallBuffer(t *testing.T) {
	var sizes []int
	reader := readerFunc(func(p []byte) (int, error) {
		sizes = append(sizes, len(p))
		switch len(sizes) {
		case 1, 2:
			return len(p), nil // both buffers get filled
		case 3:
			return 100, nil // calm again
		case 4:
			return 100, nil
		}
		return 0, io.EOF
	})
	copied, err := copyBytes(io.Discard, reader)
	require.NoError(t, err)
	require.Equal(t, []int{smallBuffer, largeBuffer, largeBuffer, smallBuffer, smallBuffer}, sizes)
	require.Equal(t, int64(smallBuffer+largeBuffer+200), copied)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
