package udpio

import (
	"net/netip"
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
		batches.mu.Lock()
		batches.idle = nil
		batches.mu.Unlock()
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
			return server.Stats().Received == 2 && len(batches.idle) == 1
		}, patience, time.Millisecond)
		require.NoError(t, server.Close())
		require.Error(t, <-result)
	})
}

func TestBatchPoolIsBounded(t *testing.T) {
	var pool batchPool
	var taken []*batch
	for range maxIdleBatches + 3 {
		taken = append(taken, pool.get())
	}
	for _, b := range taken {
		pool.put(b)
	}
	require.Len(t, pool.idle, maxIdleBatches)
	require.Same(t, taken[maxIdleBatches-1], pool.get(), "the last used comes first")
}

func TestBuffersDoNotOverlap(t *testing.T) {
	b := new(batchPool).get()
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
