package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Echoed is how many messages came back in a rate test.
type Echoed struct {
	Messages int64         `json:"messages"`
	Lost     int64         `json:"lost"` // taken for lost after a pause
	Duration time.Duration `json:"duration_ns"`
}

// PerSecond is the rate.
func (e Echoed) PerSecond() float64 {
	if e.Duration <= 0 {
		return 0
	}
	return float64(e.Messages) / e.Duration.Seconds()
}

// Rate keeps that many messages of a size in flight on each connection, a
// connected UDP socket, until duration is over, and counts the echoes. The
// connections stay the caller's; their read deadlines are changed.
func Rate(ctx context.Context, size, window int, duration time.Duration, conns ...*net.UDPConn) (Echoed, error) {
	if size < MinSize || size > MaxSize || window < 1 {
		return Echoed{}, fmt.Errorf("size %d, window %d: a size is %d to %d bytes, a window 1 or more", size, window, MinSize, MaxSize)
	}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	start := time.Now()
	counts := make([]Echoed, len(conns))
	errs := make([]error, len(conns))
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() { counts[i], errs[i] = rate(ctx, size, window, conn) })
	}
	all.Wait()
	total := Echoed{Duration: time.Since(start)}
	for i, c := range counts {
		total.Messages += c.Messages
		total.Lost += c.Lost
		if errs[i] != nil {
			return total, errs[i]
		}
	}
	return total, nil
}

func rate(ctx context.Context, size, window int, conn *net.UDPConn) (Echoed, error) {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	run := rand.Uint32() // #nosec G404 -- tells runs apart; no secret
	message := newMessage(run, size)
	out := make([][]byte, batchSize)
	for i := range out {
		out[i] = message
	}
	b := newBatch(conn)
	var count Echoed
	for flying := 0; ctx.Err() == nil; {
		for flying < window {
			n, err := b.send(out[:min(len(out), window-flying)])
			if err != nil {
				return count, fmt.Errorf("send: %w", err)
			}
			flying += n
		}
		if err := conn.SetReadDeadline(time.Now().Add(rateStall)); err != nil {
			return count, err
		}
		if ctx.Err() != nil {
			break // its deadline may have been overwritten
		}
		if err := b.receive(); err != nil {
			if !isTimeout(err) {
				return count, fmt.Errorf("receive: %w", err)
			}
			if ctx.Err() == nil {
				count.Lost += int64(flying)
				flying = 0
			}
			continue
		}
		b.each(func(payload []byte) {
			if _, ok := parseHeader(payload, run); ok {
				count.Messages++
				flying = max(0, flying-1) // what was taken for lost may still come
			}
		})
	}
	return count, nil
}
