package relay

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"funnel/internal/tcpio"
)

// listenConfig is without multipath TCP, which Go turns on for listeners where
// the kernel can: what we ask of a socket later knows nothing of it.
var listenConfig = func() *net.ListenConfig {
	config := &net.ListenConfig{}
	config.SetMultipathTCP(false)
	return config
}()

// listen opens a forward's listeners at a bind address as RFC 4254 §7.1 has
// them: "" for every address of both families, "0.0.0.0" and "::" for every
// one of their family alone, "localhost" for loopback of both families, or a
// literal address. It returns the port, which for port 0 the system chose.
func listen(host string, port uint16) ([]net.Listener, uint16, error) {
	if host == "localhost" {
		return listenLocalhost(port)
	}
	listener, bound, err := listenOne(network(host), host, port)
	if err != nil {
		return nil, 0, err
	}
	return []net.Listener{listener}, bound, nil
}

// network keeps "0.0.0.0" and "::" from standing for both families.
func network(host string) string {
	switch host {
	case "":
		return "tcp"
	case "0.0.0.0":
		return "tcp4"
	case "::":
		return "tcp6"
	}
	return "tcp"
}

func listenOne(network, host string, port uint16) (net.Listener, uint16, error) {
	address := net.JoinHostPort(host, strconv.Itoa(int(port)))
	listener, err := listenConfig.Listen(context.Background(), network, address)
	if err != nil {
		return nil, 0, err
	}
	return listener, addrPort(listener.Addr()).Port(), nil
}

// listenLocalhost listens on one port of both loopback addresses, or of the one
// that this host has.
func listenLocalhost(port uint16) ([]net.Listener, uint16, error) {
	var err error
	for range localhostTries {
		var first net.Listener
		var bound uint16
		first, bound, err = listenOne("tcp4", "127.0.0.1", port)
		if tcpio.IsFamilyMissing(err) {
			first, bound, err = listenOne("tcp6", "::1", port)
			return []net.Listener{first}, bound, err
		}
		if err != nil {
			return nil, 0, err
		}
		var second net.Listener
		second, _, err = listenOne("tcp6", "::1", bound)
		switch {
		case err == nil:
			return []net.Listener{first, second}, bound, nil
		case tcpio.IsFamilyMissing(err):
			return []net.Listener{first}, bound, nil
		}
		_ = first.Close()
		if port != 0 {
			break // only a port of the system's choice is worth another try
		}
	}
	return nil, 0, err
}

// accept calls handle, which must not block, with each connection, until
// listener is closed or its deadline over. It is in no hurry to give up on one
// that fails otherwise, mostly for want of descriptors: what is there goes on, and
// who connects waits in the kernel's queue.
func (r *Relay) accept(ctx context.Context, listener net.Listener, handle func(net.Conn)) {
	pause := acceptPauseFirst
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			pause = acceptPauseFirst
			if lasted, tell := r.starved.Worked(time.Now()); tell {
				r.log.Info("connections are accepted again", "duration", lasted.Round(time.Millisecond))
			}
			handle(conn)
			continue
		case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			return
		}
		if held, tell := r.starved.Failed(time.Now()); tell {
			r.log.Error("accept connections", "listen", listener.Addr().String(), "error", err, "held_back", held)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, acceptPauseMost)
	}
}
