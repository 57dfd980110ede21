package relay

import (
	"context"
	"net"

	"funnel/internal/access"
	"funnel/internal/pipe"
)

// metered is a client's connection whose bytes wait until they may pass. Those that
// wait when it is closed take nothing from others.
type metered struct {
	*net.TCPConn
	ctx                context.Context // ends with it
	end                context.CancelFunc
	toTarget, toClient access.Meters
}

// newMetered has bytes wait until ctx ends or the connection is closed, which it
// must be.
func newMetered(ctx context.Context, client *net.TCPConn, toTarget, toClient access.Meters) *metered {
	m := &metered{TCPConn: client, toTarget: toTarget, toClient: toClient}
	m.ctx, m.end = context.WithCancel(ctx)
	return m
}

// meter has a client's bytes wait if there are limits on its forward. A limit
// that comes later holds for conns that begin later.
func meter(client *net.TCPConn, b *binding) pipe.Half {
	if !b.toTarget.Limited() && !b.toClient.Limited() {
		return client
	}
	return newMetered(context.Background(), client, b.toTarget, b.toClient)
}

// Read reads, and returns what it read when it may pass.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.TCPConn.Read(p)
	if wait := m.toTarget.Wait(m.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}

// Write writes when the bytes may pass.
func (m *metered) Write(p []byte) (int, error) {
	if err := m.toClient.Wait(m.ctx, len(p)); err != nil {
		return 0, err
	}
	return m.TCPConn.Write(p)
}

// Close closes it, and ends a Read and a Write that wait.
func (m *metered) Close() error {
	m.end()
	return m.TCPConn.Close()
}
