package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
)

// inherited is the listening sockets that the service manager has opened for us
// (sd_listen_fds(3)); none if it hasn't. Those outlive this process: who connects
// while it is started anew waits in their queue instead of being refused.
func inherited() ([]net.Listener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the service manager's sockets: %w", err)
	}
	for i, listener := range listeners {
		if _, ok := listener.(*net.TCPListener); !ok {
			return nil, fmt.Errorf("socket %d of those that the service manager gave does not listen on TCP: give ListenStream= a port in the .socket unit", i+1)
		}
	}
	return listeners, nil
}

// manager is the service manager, if there is one that wants to know how far we
// are (sd_notify(3)).
type manager struct {
	conn *net.UnixConn // nil if nobody wants to know, or with err
	err  error
	log  *slog.Logger
}

// dialManager connects to the service manager. It is to be called before the
// process locks itself down, which puts the sockets of others out of reach but for
// those that are connected.
func dialManager(log *slog.Logger) *manager {
	m := &manager{log: log}
	if name := os.Getenv("NOTIFY_SOCKET"); name != "" {
		m.conn, m.err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	}
	return m
}

// tell tells it a state.
func (m *manager) tell(state string) {
	err := m.err
	if m.conn != nil {
		_, err = m.conn.Write([]byte(state))
	}
	if err != nil {
		m.log.Warn("the service manager can't be told", "state", state, "error", err)
	}
}

// close ends the connection.
func (m *manager) close() {
	if m.conn != nil {
		_ = m.conn.Close() // nothing is left to be told
	}
}
