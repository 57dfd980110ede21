package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"funnel/internal/agent"
	"funnel/internal/forward"
)

// example ends the messages about a command line that exposes nothing.
const example = "funnel-agent connect --tcp 25565 relay.example.org"

// cli is the command line. Names are relied on by scripts: add, don't rename.
type cli struct {
	Connect connectCommand   `cmd:"" default:"withargs" help:"Expose servers through a relay (the default command)."`
	Bench   benchCommand     `cmd:"" help:"Measure the way to a relay, with and without the funnel, and say what the bottleneck is."`
	Status  statusCommand    `cmd:"" help:"Show how the agents that run here fare: links, forwards, round trips, what was lost."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// connectCommand is the flags of connect.
type connectCommand struct {
	relayArgument

	TCP  []string `name:"tcp" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a TCP server. Repeatable."`
	UDP  []string `name:"udp" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a UDP server. Repeatable."`
	Both []string `name:"both" sep:"none" placeholder:"SPEC" group:"What to expose" help:"Expose a server that uses one port for TCP and UDP. Repeatable."`

	identityFlags
	keepaliveFlags
	ExitOnForwardFailure bool `name:"exit-on-forward-failure" group:"Staying up" help:"Exit as soon as the relay refuses one SPEC, instead of going on with the others."`

	TCPResume time.Duration `name:"tcp-resume" default:"1m" placeholder:"1m" group:"Staying up" help:"Keep forwarded TCP connections for this long while there is no link to a funnel-relay, and go on where they were; 0 ends them with the link (default 1m)."`

	UDPIdle  time.Duration `name:"udp-idle" default:"3m" placeholder:"3m" group:"UDP" help:"Forget a UDP flow after this long without a datagram either way (default 3m)."`
	MaxFlows int           `name:"max-flows" default:"${maxFlows}" placeholder:"${maxFlows}" group:"UDP" help:"Keep at most this many UDP flows; beyond, the longest idle goes first (default ${maxFlows})."`

	tuningFlags
	logFlags
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
refused for good, 6 the agent was started again, later, and that one has its
ports, 80 wrong command line. Network errors are never a reason to exit.

To measure the way to a relay first: funnel-agent bench. To see how a running
agent fares: funnel-agent status. See their --help.`
}

// check finds what can't work whatever the relay says.
func (c *connectCommand) check() error {
	if err := errors.Join(c.relayArgument.check(), c.identityFlags.check(), c.keepaliveFlags.check(), c.tuningFlags.check()); err != nil {
		return err
	}
	switch {
	case c.TCPResume < 0 || c.TCPResume > agent.MaxTCPResume || c.TCPResume%time.Second != 0:
		return fmt.Errorf("--tcp-resume %s: must be whole seconds from 0 to %s, for example 1m", c.TCPResume, agent.MaxTCPResume)
	case c.UDPIdle <= 0:
		return fmt.Errorf("--udp-idle %s: must be more than 0, for example 3m", c.UDPIdle)
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
