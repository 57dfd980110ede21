package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// TCP sends by plan on one connection and records the echoes. It returns when
// every echo has come or the grace is over. The connection stays the caller's;
// its deadlines are changed. Only a broken connection is an error, and then the
// Series holds what came before.
func TCP(ctx context.Context, plan Plan, conn net.Conn) (Series, error) {
	if err := plan.check(); err != nil {
		return Series{}, err
	}
	if t, ok := conn.(*net.TCPConn); ok {
		// Go's default; said here because a paced stream without it waits.
		if err := t.SetNoDelay(true); err != nil {
			return Series{}, fmt.Errorf("set TCP_NODELAY: %w", err)
		}
	}
	run := rand.Uint32() // #nosec G404 -- tells runs apart; no secret
	start := time.Now().Add(5 * time.Millisecond)
	all := []Series{plan.series(start, 0)}
	if err := conn.SetDeadline(time.Now().Add(plan.Duration + plan.Grace)); err != nil {
		return Series{}, fmt.Errorf("set a deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	received := make(chan error, 1)
	go func() { received <- receiveMessages(conn, run, &all[0]) }()
	err := sendAll(ctx, plan, run, start, all, func(_ int, message []byte) error {
		_, err := conn.Write(message)
		return err
	})
	if isTimeout(err) {
		err = nil // it blocked for the whole grace: what it didn't send is lost
	}
	if err != nil {
		_ = conn.SetDeadline(time.Now())
	}
	receiveErr := <-received
	if ctx.Err() != nil {
		return all[0], context.Cause(ctx)
	}
	if err == nil {
		err = receiveErr
	}
	return all[0], err
}

// receiveMessages records echoes until all have come or the deadline passes.
func receiveMessages(conn net.Conn, run uint32, series *Series) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	for range series.Samples {
		message, err := readMessage(r)
		now := time.Since(series.Start)
		if isTimeout(err) {
			return nil
		}
		if err != nil {
			return err
		}
		number, ok := parseHeader(message, run)
		if !ok || int(number) >= len(series.Samples) || !series.Samples[number].Lost() {
			return fmt.Errorf("the echo isn't what was sent: a message of %d bytes that begins %x", len(message), message[:headerSize])
		}
		series.Samples[number].Received = now
	}
	return nil
}

// readMessage reads one message. The bytes are valid until the next call.
func readMessage(r *bufio.Reader) ([]byte, error) {
	length, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(length))
	if size < MinSize {
		return nil, fmt.Errorf("the echo isn't what was sent: a message of %d bytes", size)
	}
	if size > r.Size() {
		message := make([]byte, size)
		_, err := io.ReadFull(r, message)
		return message, err
	}
	message, err := r.Peek(size)
	if err != nil {
		return nil, err
	}
	_, err = r.Discard(size)
	return message, err
}
