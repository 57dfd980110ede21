package checkup

import (
	"context"
	"fmt"
	"net"
	"time"

	"funnel/internal/probe"
)

// transfer is what goes on beside a measurement. Nil is nothing.
type transfer struct {
	conn   net.Conn
	stop   context.CancelFunc
	ended  chan struct{} // closed when moved and broken are
	moved  probe.Transfer
	broken error
}

// startLoad begins a transfer and waits until it has filled the line. One that
// can't begin, or doesn't last for that, is an error, so that nothing is measured
// beside it and taken for what a transfer does.
func (s *stage) startLoad(ctx context.Context, load Load) (*transfer, error) {
	if load == Quiet {
		return nil, nil
	}
	direction, address, begin := probe.Download, s.public[FunnelTCP], []byte(nil)
	if load != Through {
		address, begin = s.ports.TCP.String(), s.ports.Token
	}
	if load == Upload {
		direction = probe.Upload
	}
	conn, err := s.dial(ctx, "tcp", address, begin)
	if err != nil {
		return nil, fmt.Errorf("can't begin: %w", err)
	}
	warm := min(warm, s.options.Duration/2)
	ctx, stop := context.WithCancel(ctx)
	t := &transfer{conn: conn, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		t.moved, t.broken = probe.Bulk(ctx, conn, direction, warm)
	}()
	select {
	case <-t.ended:
	case <-time.After(warm):
		return t, nil
	}
	_, err = t.end()
	return nil, err
}

// end ends it and returns its rate in bits a second. With the error of one that
// ended before, that is the rate until then.
func (t *transfer) end() (float64, error) {
	if t == nil {
		return 0, nil
	}
	t.stop()
	<-t.ended
	abort(t.conn) // what its buffers still hold isn't sent during the next measurement
	if t.broken != nil {
		return t.moved.BitsPerSecond(), fmt.Errorf("broke off: %w", t.broken)
	}
	return t.moved.BitsPerSecond(), nil
}

func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
