package relay

import (
	"context"
	"net"

	"funnel/internal/access"
	"funnel/internal/pipe"
)

// metered is a client's connection whose bytes wait until they may pass.
type metered struct {
	*net.TCPConn
	ctx                context.Context
	toTarget, toClient access.Meters
}

// meter has a client's bytes wait if there are limits on its forward. A limit
// that comes later holds for conns that begin later.
func meter(ctx context.Context, client *net.TCPConn, b *binding) pipe.Half {
	if !b.toTarget.Limited() && !b.toClient.Limited() {
		return client
	}
	return &metered{client, ctx, b.toTarget, b.toClient}
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
