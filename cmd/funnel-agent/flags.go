package main

import (
	"fmt"
	"time"

	"funnel/internal/lane"
	"funnel/internal/pace"
	"funnel/internal/replay"
	"funnel/internal/sshconfig"
	"funnel/internal/trust"
)

// relayArgument is the relay that a command is about.
type relayArgument struct {
	Relay string `arg:"" name:"relay" help:"The relay as [user@]host[:port], or a Host of your ssh config. Port: the ssh config's, else 2222, funnel-relay's (a stock sshd is host:22). User: the ssh config's, else funnel."`
}

// check finds a relay that can't be any.
func (a *relayArgument) check() error {
	_, _, _, err := sshconfig.ParseDestination(a.Relay)
	return err
}

// identityFlags are who we are and whom to trust.
type identityFlags struct {
	Identity []string `name:"identity" short:"i" sep:"none" placeholder:"FILE" group:"Who we are" help:"Private key to log in with. Repeatable. Default: the ssh config's, then ssh-agent's keys, then this agent's own key, made when first needed."`
	StateDir string   `name:"state-dir" placeholder:"DIR" group:"Who we are" help:"Where the agent keeps its own key, its ID and its socket. Default: the user's state directory."`

	KnownHosts []string `name:"known-hosts" sep:"none" placeholder:"FILE" group:"Which relay to trust" help:"File of trusted host keys. Repeatable; new ones go to the first. Default: the ssh config's, else ~/.ssh/known_hosts."`
	AcceptNew  bool     `name:"accept-new" group:"Which relay to trust" help:"Trust the host key of a relay never seen before. A changed key is refused all the same."`
	HostKey    []string `name:"host-key" sep:"none" placeholder:"SHA256:…" group:"Which relay to trust" help:"Trust exactly this fingerprint, which funnel-relay prints when it starts. Repeatable."`
}

func (f *identityFlags) check() error {
	if err := trust.CheckPins(f.HostKey); err != nil {
		return fmt.Errorf("--host-key: %w", err)
	}
	return nil
}

// keepaliveFlags are when to give a link up.
type keepaliveFlags struct {
	KeepaliveInterval time.Duration `name:"keepalive-interval" default:"5s" placeholder:"5s" group:"Staying up" help:"Ask a silent relay for a sign of life this often (default 5s)."`
	KeepaliveCount    int           `name:"keepalive-count" default:"3" placeholder:"3" group:"Staying up" help:"Reconnect after this many questions without an answer (default 3)."`
}

func (f *keepaliveFlags) check() error {
	switch {
	case f.KeepaliveInterval <= 0:
		return fmt.Errorf("--keepalive-interval %s: must be more than 0, for example 5s", f.KeepaliveInterval)
	case f.KeepaliveCount < 1:
		return fmt.Errorf("--keepalive-count %d: must be 1 or more, for example 3", f.KeepaliveCount)
	}
	return nil
}

// tuningFlags are how datagrams and transfers share the line.
type tuningFlags struct {
	Lanes    int            `name:"lanes" default:"${lanes}" placeholder:"${lanes}" group:"UDP" help:"SSH connections that carry UDP, apart from the one that carries TCP (default ${lanes})."`
	Copies   lane.CopyCount `name:"copies" default:"auto" placeholder:"auto" group:"UDP" help:"Lanes each datagram is sent on: a number, or auto for one while the line is clean and more while it loses (default auto)."`
	MaxDelay time.Duration  `name:"max-delay" default:"200ms" placeholder:"200ms" group:"UDP" help:"Drop a datagram that has waited longer, rather than deliver it late (default 200ms)."`

	BulkRate pace.Rate `name:"bulk-rate" placeholder:"RATE" group:"TCP" help:"Send no more than this to the relay for TCP servers, in bits per second as in 16M. Default: no bound, but transfers make room for UDP when it would have to wait."`
}

func (f *tuningFlags) check() error {
	switch {
	case f.Lanes < 1 || f.Lanes > lane.MaxLanes:
		return fmt.Errorf("--lanes %d: must be 1 to %d, for example %d", f.Lanes, lane.MaxLanes, replay.DefaultLanes)
	case f.MaxDelay <= 0:
		return fmt.Errorf("--max-delay %s: must be more than 0, for example 200ms", f.MaxDelay)
	}
	return nil
}

// logFlags are what is told on standard error.
type logFlags struct {
	LogLevel  string `name:"log-level" enum:"debug,info,warn,error" default:"info" placeholder:"info" group:"Logging" help:"Log to stderr from this level on: debug, info, warn or error."`
	LogFormat string `name:"log-format" enum:"text,json" default:"text" placeholder:"text" group:"Logging" help:"Log as text or json."`
}
