package udpio

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReceiveTakesAllThatWaits(t *testing.T) {
	for _, options := range []Options{{}, {noSegmentation: true}} {
		server := listen(t, "udp4", loopback4, options)
		client := dial(t, server.LocalAddr(), options)
		s := NewSender()
		for i := range BatchSize + 5 {
			s.Add(client, []byte{byte(i)}, netip.AddrPort{}, netip.Addr{})
		}
		sent, _ := s.Flush()
		require.Equal(t, BatchSize+5, sent)
		next := 0
		for _, want := range batchSizes(BatchSize, 5) {
			require.NoError(t, server.Receive(func(messages []Message) {
				require.Len(t, messages, want)
				for _, m := range messages {
					require.Equal(t, []byte{byte(next)}, m.Data)
					require.Equal(t, client.LocalAddr(), m.Remote)
					next++
				}
			}))
		}
		require.Equal(t, BatchSize+5, next)
	}
}

func TestWaitingSocketHoldsNoBuffers(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp4", loopback4, options)
		client := dial(t, server.LocalAddr(), options)
		// The first datagram shows that the pool is in use, the second that the
		// goroutine waits again.
		result := make(chan error, 1)
		go func() {
			for {
				if err := server.Receive(func([]Message) {}); err != nil {
					result <- err
					return
				}
			}
		}()
		for range 2 {
			send(t, client, "hello", netip.AddrPort{}, netip.Addr{})
		}
		require.Eventually(t, func() bool {
			batches.mu.Lock()
			defer batches.mu.Unlock()
			return server.Stats().Received == 2 && batches.inUse == 0 && len(batches.idle) > 0
		}, patience, time.Millisecond)
		require.NoError(t, server.Close())
		require.Error(t, <-result)
	})
}

func TestBatchPoolIsBounded(t *testing.T) {
	pool := newBatchPool(3)
	taken := []*batch{pool.get(), pool.get(), pool.get()}
	got := make(chan *batch)
	for range 2 {
		go func() { got <- pool.get() }()
	}
	require.Eventually(t, func() bool {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return pool.waiting == 2
	}, patience, time.Millisecond)
	pool.put(taken[1])
	require.Same(t, taken[1], <-got)
	pool.put(taken[0])
	require.Same(t, taken[0], <-got)
	pool.put(taken[2])
	pool.put(taken[1])
	require.Same(t, taken[1], pool.get(), "the last used comes first")
	require.Equal(t, 2, pool.inUse)
}

func TestBatchesOfABurstAreGivenUp(t *testing.T) {
	pool := newBatchPool(8)
	var collected atomic.Int32
	var taken []*batch
	for range pool.most {
		b := pool.get()
		runtime.AddCleanup(b, func(struct{}) { collected.Add(1) }, struct{}{})
		taken = append(taken, b)
	}
	for _, b := range taken {
		pool.put(b)
	}
	taken = nil
	require.Eventually(t, func() bool {
		runtime.GC()
		return int(collected.Load()) == pool.most-keptBatches
	}, patience, time.Millisecond)
	runtime.GC()
	require.Equal(t, pool.most-keptBatches, int(collected.Load()), "those kept stay")
	runtime.KeepAlive(pool)
}

func TestBuffersDoNotOverlap(t *testing.T) {
	b := newBatchPool(1).get()
	for i := range BatchSize {
		buffer := b.buffer(i)
		require.Len(t, buffer, 65536)
		require.Equal(t, 65536, cap(buffer))
		for j := range buffer {
			require.Zero(t, buffer[j])
			buffer[j] = 1
		}
	}
}
