package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"funnel/internal/forward"
	"funnel/internal/lane"
	"funnel/internal/pace"
	"funnel/internal/replay"
)

// example ends the messages about a command line that exposes nothing.
const example = "funnel-agent connect --tcp 25565 relay.example.org"

// cli is the command line. Names are relied on by scripts: add, don't rename.
type cli struct {
	Connect connectCommand   `cmd:"" default:"withargs" help:"Expose servers through a relay (the default command)."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// connectCommand is the flags of connect.
type connectCommand struct {
	Relay string `arg:"" name:"relay" help:"The relay as [user@]host[:port], or a Host of your ssh config. Port: the ssh config's, else 2222, funnel-relay's (a stock sshd is host:22). User: the ssh config's, else funnel."`

	TCP  []string `name:"tcp" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a TCP server. Repeatable."`
	UDP  []string `name:"udp" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a UDP server. Repeatable."`
	Both []string `name:"both" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a server that uses one port for TCP and UDP. Repeatable."`

	Identity []string `name:"identity" short:"i" sep:"none" placeholder:"FILE" group:"Who we are" help:"Private key to log in with. Repeatable. Default: the ssh config's, then ssh-agent's keys, then this agent's own key, made when first needed."`
	StateDir string   `name:"state-dir" placeholder:"DIR" group:"Who we are" help:"Where the agent's own key is kept. Default: the user's state directory."`

	KnownHosts []string `name:"known-hosts" sep:"none" placeholder:"FILE" group:"Which relay to trust" help:"File of trusted host keys. Repeatable; new ones go to the first. Default: the ssh config's, else ~/.ssh/known_hosts."`
	AcceptNew  bool     `name:"accept-new" group:"Which relay to trust" help:"Trust the host key of a relay never seen before. A changed key is refused all the same."`
	HostKey    []string `name:"host-key" sep:"none" placeholder:"SHA256:…" group:"Which relay to trust" help:"Trust exactly this fingerprint, which funnel-relay prints when it starts. Repeatable."`

	KeepaliveInterval    time.Duration `name:"keepalive-interval" default:"5s" placeholder:"5s" group:"Staying up" help:"Ask a silent relay for a sign of life this often (default 5s)."`
	KeepaliveCount       int           `name:"keepalive-count" default:"3" placeholder:"3" group:"Staying up" help:"Reconnect after this many questions without an answer (default 3)."`
	ExitOnForwardFailure bool          `name:"exit-on-forward-failure" group:"Staying up" help:"Exit as soon as the relay refuses one SPEC, instead of going on with the others."`

	UDPIdle  time.Duration `name:"udp-idle" default:"3m" placeholder:"3m" group:"UDP" help:"Forget a UDP flow after this long without a datagram either way (default 3m)."`
	MaxFlows int           `name:"max-flows" default:"${maxFlows}" placeholder:"${maxFlows}" group:"UDP" help:"Keep at most this many UDP flows; beyond, the longest idle goes first (default ${maxFlows})."`

	Lanes    int           `name:"lanes" default:"${lanes}" placeholder:"${lanes}" group:"UDP" help:"SSH connections that carry UDP, apart from the one that carries TCP (default ${lanes})."`
	Copies   copies        `name:"copies" default:"auto" placeholder:"auto" group:"UDP" help:"Lanes each datagram is sent on: a number, or auto for one while the line is clean and more while it loses (default auto)."`
	MaxDelay time.Duration `name:"max-delay" default:"200ms" placeholder:"200ms" group:"UDP" help:"Drop a datagram that has waited longer, rather than deliver it late (default 200ms)."`

	BulkRate pace.Rate `name:"bulk-rate" placeholder:"RATE" group:"TCP" help:"Send no more than this to the relay for TCP servers, in bits per second as in 16M. Default: no bound, but transfers make room for UDP when it would have to wait."`

	LogLevel  string `name:"log-level" enum:"debug,info,warn,error" default:"info" placeholder:"info" group:"Logging" help:"Log to stderr from this level on: debug, info, warn or error."`
	LogFormat string `name:"log-format" enum:"text,json" default:"text" placeholder:"text" group:"Logging" help:"Log as text or json."`
}

// Help is shown below the flags.
func (*connectCommand) Help() string {
	return `SPEC is what ssh -R takes: [bind_address:]port[-port][:host:hostport].
IPv6 addresses stand in brackets, and port 0 lets the relay choose.

  25565                        every address, to 127.0.0.1:25565
  27015-27020                  a range, each port to its own number
  8080:192.168.1.7:80          another host and port as the target
  [::1]:8080:localhost:80      listen on one address of the relay

Exit status: 0 stopped by a signal, 1 any other error, 3 the relay refused the
key, or it stays locked, 4 the relay's host key isn't trusted, 5 a forward was
refused for good, 80 wrong command line. Network errors are never a reason to
exit.`
}

// check finds what can't work whatever the relay says.
func (c *connectCommand) check() error {
	switch {
	case c.KeepaliveInterval <= 0:
		return fmt.Errorf("--keepalive-interval %s: must be more than 0, for example 5s", c.KeepaliveInterval)
	case c.KeepaliveCount < 1:
		return fmt.Errorf("--keepalive-count %d: must be 1 or more, for example 3", c.KeepaliveCount)
	case c.UDPIdle <= 0:
		return fmt.Errorf("--udp-idle %s: must be more than 0, for example 3m", c.UDPIdle)
	case c.Lanes < 1 || c.Lanes > lane.MaxLanes:
		return fmt.Errorf("--lanes %d: must be 1 to %d, for example %d", c.Lanes, lane.MaxLanes, replay.DefaultLanes)
	case c.MaxDelay <= 0:
		return fmt.Errorf("--max-delay %s: must be more than 0, for example 200ms", c.MaxDelay)
	case c.MaxFlows < 1:
		return fmt.Errorf("--max-flows %d: must be 1 or more, for example 20000", c.MaxFlows)
	}
	_, err := c.forwards()
	return err
}

// forwards is what the flags ask to expose: TCP, UDP, then both.
func (c *connectCommand) forwards() ([]forward.Forward, error) {
	var all []forward.Forward
	add := func(flag string, specs []string, networks ...forward.Network) error {
		for _, spec := range specs {
			for _, network := range networks {
				parsed, err := forward.Parse(network, spec)
				if err != nil {
					return fmt.Errorf("--%s: %w", flag, err)
				}
				if len(networks) > 1 && parsed[0].BindPort == 0 {
					return fmt.Errorf("--%s %q: with port 0 the relay would choose a different port for each; name a port, or use --tcp and --udp", flag, spec)
				}
				all = append(all, parsed...)
			}
		}
		return nil
	}
	if err := errors.Join(
		add("tcp", c.TCP, forward.TCP),
		add("udp", c.UDP, forward.UDP),
		add("both", c.Both, forward.TCP, forward.UDP),
	); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing to expose: give --tcp, --udp or --both a SPEC, as in %q", example)
	}
	return all, checkTwice(all)
}

// checkTwice finds a port that is asked for twice, which the relay would grant
// once and refuse once.
func checkTwice(forwards []forward.Forward) error {
	type listen struct {
		network forward.Network
		address string
	}
	seen := make(map[listen]forward.Forward)
	for _, f := range forwards {
		if f.BindPort == 0 {
			continue
		}
		key := listen{f.Network, f.Listen()}
		if first, twice := seen[key]; twice {
			return fmt.Errorf("--%s: %s is asked for twice, to %s and to %s; drop one", f.Network, f.Listen(), first.Target(), f.Target())
		}
		seen[key] = f
	}
	return nil
}

// copies is a number of lanes, 0 for auto.
type copies int

// UnmarshalText is how kong reads the flag.
func (c *copies) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*c = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > lane.MaxCopies {
		return fmt.Errorf("%q is not auto or a number from 1 to %d", text, lane.MaxCopies)
	}
	*c = copies(n)
	return nil
}
