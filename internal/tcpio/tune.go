package tcpio

import (
	"fmt"
	"net"
)

// Tune prepares c for low latency: small writes go out at once (TCP_NODELAY), and
// the kernel's keepalive probes are off, because SSH has its own, which also
// notices a peer that is alive but stuck. Where the kernel can, it tries to get
// lost data through every second, so that a line that comes back is used at once.
// It looks through wrappers that have a
// method NetConn() net.Conn, and does nothing to a c that is not TCP.
func Tune(c net.Conn) error {
	connection, ok := innermost(c).(interface {
		SetNoDelay(bool) error
		SetKeepAlive(bool) error
	})
	if !ok {
		return nil
	}
	if err := connection.SetNoDelay(true); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if err := connection.SetKeepAlive(false); err != nil {
		return fmt.Errorf("turn off TCP keepalive: %w", err)
	}
	_ = NewSocket(c).SetMaxRTO(maxRTO) // kernels before 6.15 can't
	return nil
}

// Abort closes c so that the peer sees a reset instead of an orderly end, and
// what was not sent yet is thrown away. A c that is not TCP is closed.
func Abort(c net.Conn) error {
	if connection, ok := innermost(c).(interface{ SetLinger(int) error }); ok {
		// An error means that the connection is closed already.
		_ = connection.SetLinger(0)
	}
	return c.Close()
}

// innermost follows NetConn methods to the connection that is wrapped.
func innermost(c net.Conn) net.Conn {
	// Nobody nests this deep; the bound is against a wrapper that names itself.
	for range 16 {
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner := wrapper.NetConn()
		if inner == nil {
			break
		}
		c = inner
	}
	return c
}
