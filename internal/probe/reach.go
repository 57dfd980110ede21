package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// ReachUDP asks for an echo over a connected UDP socket until one comes. It is an
// error if ctx ends first.
func ReachUDP(ctx context.Context, conn net.Conn, size int) error {
	run := rand.Uint32() // #nosec G404 -- tells runs apart; no secret
	message := newMessage(run, max(size, MinSize))
	setNumber(message, knockNumber)
	b := make([]byte, MaxSize+1)
	defer conn.SetReadDeadline(time.Time{})
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("no echo over UDP from %s: %w", conn.RemoteAddr(), context.Cause(ctx))
		}
		sent := time.Now()
		if err := conn.SetReadDeadline(sent.Add(knockInterval)); err != nil {
			return err
		}
		if _, err := conn.Write(message); err != nil && errors.Is(err, net.ErrClosed) {
			return err
		}
		for {
			n, err := conn.Read(b)
			if err == nil {
				if number, ok := parseHeader(b[:n], run); ok && number == knockNumber {
					return nil
				}
				continue
			}
			if !isTimeout(err) {
				// Nobody listens yet; ask again at the next time.
				select {
				case <-time.After(time.Until(sent.Add(knockInterval))):
				case <-ctx.Done():
				}
			}
			break
		}
	}
}

// ReachTCP asks for one echo over a connection.
func ReachTCP(ctx context.Context, conn net.Conn, size int) error {
	run := rand.Uint32() // #nosec G404 -- tells runs apart; no secret
	message := newMessage(run, max(size, MinSize))
	setNumber(message, knockNumber)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write(message); err != nil {
		return fmt.Errorf("no echo over TCP from %s: %w", conn.RemoteAddr(), err)
	}
	// Of the size of the message, so that nothing that follows is swallowed.
	reply, err := readMessage(bufio.NewReaderSize(conn, len(message)))
	if err != nil {
		return fmt.Errorf("no echo over TCP from %s: %w", conn.RemoteAddr(), err)
	}
	if number, ok := parseHeader(reply, run); !ok || number != knockNumber {
		return fmt.Errorf("%s answers, but isn't an echo", conn.RemoteAddr())
	}
	return nil
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
