package system

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"time"

	"funnel/internal/freeport"
)

// Host is where sockets and programs live. *wan.Host is one.
type Host interface {
	Name() string
	// Do runs f on the calling goroutine; sockets it makes belong to the host.
	Do(f func() error) error
	// Command is exec.CommandContext in the host.
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
}

// Local is this machine as it is.
type Local string

// Name is the name it was given.
func (l Local) Name() string { return string(l) }

// Do runs f.
func (l Local) Do(f func() error) error { return f() }

// Command is exec.CommandContext.
func (l Local) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// Place is where a system is set up: who plays, who forwards, who serves, and
// how they reach each other.
type Place struct {
	Player, VPS, Home Host

	// Public is the VPS's address as the player sees it, Relay as home sees it,
	// and Direct is home's as the player would see it without a tunnel.
	Public, Relay, Direct netip.Addr

	// Dir is for files that are removed afterwards; Logs is for what programs
	// print.
	Dir, Logs string
}

// Loopback is a place that is this machine alone.
func Loopback(dir, logs string) *Place {
	localhost := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return &Place{
		Player: Local("player"), VPS: Local("vps"), Home: Local("home"),
		Public: localhost, Relay: localhost, Direct: localhost,
		Dir: dir, Logs: logs,
	}
}

// Dial opens a connection, or a connected UDP socket, in the player's host.
func (p *Place) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	err = p.Player.Do(func() error {
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// freePort returns a port that nobody uses for TCP or UDP at the moment.
func freePort(host Host, address netip.Addr) (port uint16, err error) {
	err = host.Do(func() error {
		port, err = freeport.Lab.Find(address)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", host.Name(), err)
	}
	return port, nil
}
