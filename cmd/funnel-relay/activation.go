package main

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
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

// notify tells the service manager, if there is one that wants to know, how far we
// are (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager can't be told", "state", state, "error", err)
	}
}
