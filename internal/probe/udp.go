package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// UDP sends by plan on every connection, each a connected UDP socket and a flow
// of its own, and records the echoes. One thread sends for all flows, whose
// messages are spread evenly over the interval. It returns when the grace is
// over, or earlier when every echo has come. The connections stay the caller's;
// their read deadlines are changed.
//
// An error of the path is no error here: what can't be sent is lost.
func UDP(ctx context.Context, plan Plan, conns ...net.Conn) ([]Series, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	run := rand.Uint32() // #nosec G404 -- tells runs apart; no secret
	all := make([]Series, len(conns))
	interval := plan.interval()
	// A little ahead, so that the first message isn't late already.
	start := time.Now().Add(5 * time.Millisecond)
	for i := range all {
		all[i] = plan.series(start, interval*time.Duration(i)/time.Duration(len(conns)))
	}
	var readers sync.WaitGroup
	for i, conn := range conns {
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return nil, fmt.Errorf("clear the read deadline: %w", err)
		}
		readers.Go(func() { receiveDatagrams(conn, run, &all[i]) })
	}
	err := sendAll(ctx, plan, run, start, all, func(i int, message []byte) error {
		// A refusal, or a full queue, loses the message, as it would a player's.
		_, err := conns[i].Write(message)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	deadline := time.Now()
	if err == nil {
		deadline = deadline.Add(plan.Grace)
	}
	for _, conn := range conns {
		_ = conn.SetReadDeadline(deadline) // fails if it is closed, which ends the reader too
	}
	stop := context.AfterFunc(ctx, func() {
		for _, conn := range conns {
			_ = conn.SetReadDeadline(time.Now())
		}
	})
	readers.Wait()
	stop()
	if err == nil {
		err = context.Cause(ctx)
	}
	return all, err
}

// sendAll sends every message of every flow at its time, in a thread of its own.
func sendAll(ctx context.Context, plan Plan, run uint32, start time.Time, all []Series, send func(flow int, message []byte) error) error {
	done := make(chan error)
	go func() {
		clock := newPacer(plan.interval() / time.Duration(len(all)))
		defer clock.close()
		message := newMessage(run, plan.Size)
		done <- func() error {
			for number := range plan.count() {
				setNumber(message, uint32(number))
				for flow := range all {
					sample := &all[flow].Samples[number]
					if err := clock.wait(ctx, start.Add(sample.Intended)); err != nil {
						return err
					}
					sample.Sent = max(time.Since(start), 1)
					if err := send(flow, message); err != nil {
						return err
					}
				}
			}
			return nil
		}()
	}()
	return <-done
}

// receiveDatagrams records echoes until all have come or the read deadline passes.
func receiveDatagrams(conn net.Conn, run uint32, series *Series) {
	b := make([]byte, series.Size+1) // one more tells what is too long
	for missing := len(series.Samples); missing > 0; {
		n, err := conn.Read(b)
		now := time.Since(series.Start)
		if err != nil {
			var netErr net.Error
			if errors.As(err, &netErr) && netErr.Timeout() || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error that answers what we sent
		}
		number, ok := parseHeader(b[:n], run)
		if !ok || int(number) >= len(series.Samples) {
			continue // of an earlier run, or of Reach
		}
		if sample := &series.Samples[number]; sample.Lost() {
			sample.Received = now
			missing--
		} else {
			series.Duplicates = append(series.Duplicates, Duplicate{int(number), now})
		}
	}
}
