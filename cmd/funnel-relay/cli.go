package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"funnel/internal/lane"
	"funnel/internal/pace"
	"funnel/internal/relay"
)

// cli is the command line. Names are relied on by scripts: add, don't rename.
type cli struct {
	Serve     serveCommand     `cmd:"" default:"withargs" help:"Serve agents and SSH clients (the default command)."`
	Authorize authorizeCommand `cmd:"" help:"Let a key in."`
	Keys      keysCommand      `cmd:"" help:"List who may log in, or take a key out."`
	Version   kong.VersionFlag `help:"Print the version and exit."`
}

// state is where the relay keeps its files.
type state struct {
	StateDir       string `name:"state-dir" placeholder:"DIR" group:"Files" help:"Where host key and authorized keys are kept. Default: $$STATE_DIRECTORY, else the user's state directory."`
	AuthorizedKeys string `name:"authorized-keys" placeholder:"FILE" group:"Files" help:"Who may log in, in OpenSSH's format, read anew at each login. Default: authorized_keys in the state directory."`
}

// serveCommand is the flags of serve.
type serveCommand struct {
	state
	HostKey []string `name:"host-key" sep:"none" placeholder:"FILE" group:"Files" help:"Private key that shows who this relay is. Repeatable, one of each type. Default: an ed25519 key in the state directory, made at the first start."`

	UserCAKeys     string   `name:"user-ca-keys" placeholder:"FILE" group:"Files" help:"Keys whose certificates may log in, one a line."`
	Principals     []string `name:"authorized-principals" placeholder:"NAME" group:"Files" help:"Names of which a certificate of --user-ca-keys must have one. Repeatable. Default: the user name of the login."`
	RevokedKeys    string   `name:"revoked-keys" placeholder:"FILE" group:"Files" help:"Keys and certificates that may not log in: a KRL of ssh-keygen's, or public keys, one a line."`
	ClientNetworks string   `name:"client-networks" placeholder:"FILE" group:"Files" help:"Client networks that may not reach public ports, lines as in \"deny 192.0.2.0/24\", or who alone may reach some, as in \"allow 198.51.100.0/24 25565\"."`
	NoLockdown     bool     `name:"no-lockdown" group:"Files" help:"Don't give up, once running, all files but the directories of those above, and new privileges (Linux)."`

	Listen     []string `name:"listen" sep:"none" default:":2222" placeholder:"ADDR" group:"What to serve" help:"Listen for agents at this address, as host:port. Repeatable. Default: the sockets that systemd gives, else :2222."`
	AllowPorts []string `name:"allow-ports" sep:"none" placeholder:"PORTS" group:"What to serve" help:"Ports that may be exposed at all, as in 1024-65535 or 443,25565. Repeatable. Privileged ports alone are allowed besides the default, 1024-65535."`
	Bind       []string `name:"bind" sep:"none" placeholder:"ADDR" group:"What to serve" help:"Addresses that may be bound at all: an address, a prefix, or localhost. Repeatable. Default: all."`

	KeepaliveInterval time.Duration `name:"keepalive-interval" default:"10s" placeholder:"10s" group:"Staying up" help:"Ask a silent client for a sign of life this often (default 10s)."`
	KeepaliveCount    int           `name:"keepalive-count" default:"3" placeholder:"3" group:"Staying up" help:"Drop a client, and free its ports, after this many questions without an answer (default 3)."`

	Grace time.Duration `name:"grace" default:"1m" placeholder:"1m" group:"Staying up" help:"Keep the ports of an agent that is away bound for this long, and its clients waiting (default 1m)."`

	UDPIdle  time.Duration  `name:"udp-idle" default:"3m" placeholder:"3m" group:"UDP" help:"Forget a UDP flow after this long without a datagram either way (default 3m)."`
	MaxFlows int            `name:"max-flows" default:"${maxFlows}" placeholder:"${maxFlows}" group:"UDP" help:"Keep at most this many UDP flows of an agent; beyond, the longest idle goes first (default ${maxFlows})."`
	MaxDelay time.Duration  `name:"max-delay" default:"200ms" placeholder:"200ms" group:"UDP" help:"Drop a datagram that has waited longer, rather than deliver it late (default 200ms)."`
	Copies   lane.CopyCount `name:"copies" default:"auto" placeholder:"auto" group:"UDP" help:"Lanes each datagram is sent on: a number, or auto for one while the line is clean and more while it loses (default auto)."`

	limitFlags

	BulkRate pace.Rate `name:"bulk-rate" placeholder:"RATE" group:"TCP" help:"Send no more than this to an agent for TCP servers, in bits per second as in 16M. Default: no bound, but transfers make room for UDP when it would have to wait."`

	LogLevel  string `name:"log-level" enum:"debug,info,warn,error" default:"info" placeholder:"info" group:"Logging" help:"Log to stderr from this level on: debug, info, warn or error."`
	LogFormat string `name:"log-format" enum:"text,json" default:"text" placeholder:"text" group:"Logging" help:"Log as text or json."`
}

// Help is shown below the flags.
func (*serveCommand) Help() string {
	return `Clients are known by their keys alone: there are no passwords, no shell and no
commands, and any user name will do. Let a key in with funnel-relay authorize.
What is changed in a file counts at the next login, and within two seconds for
who is logged in.

Exit status: 0 stopped by a signal, 1 any error, 80 wrong command line.`
}

// check finds what can't work.
func (c *serveCommand) check() error {
	switch {
	case c.KeepaliveInterval <= 0:
		return fmt.Errorf("--keepalive-interval %s: must be more than 0, for example 10s", c.KeepaliveInterval)
	case c.KeepaliveCount < 1:
		return fmt.Errorf("--keepalive-count %d: must be 1 or more, for example 3", c.KeepaliveCount)
	case c.Grace <= 0 || c.Grace > relay.MaxGrace:
		return fmt.Errorf("--grace %s: must be more than 0 and %s at most, for example 1m", c.Grace, relay.MaxGrace)
	case c.UDPIdle <= 0:
		return fmt.Errorf("--udp-idle %s: must be more than 0, for example 3m", c.UDPIdle)
	case c.MaxDelay <= 0:
		return fmt.Errorf("--max-delay %s: must be more than 0, for example 200ms", c.MaxDelay)
	case c.MaxFlows < 1:
		return fmt.Errorf("--max-flows %d: must be 1 or more, for example 20000", c.MaxFlows)
	}
	return c.limitFlags.check()
}

// authorizeCommand is the flags of authorize.
type authorizeCommand struct {
	state
	Permit  []string `name:"permit" sep:"none" placeholder:"PORTS[/tcp|/udp]" help:"Ports this key may expose, as in 25565, 27015-27020/udp or 192.0.2.7:443/tcp. Repeatable. Default: all that the relay allows."`
	Name    string   `name:"name" placeholder:"NAME" help:"What logs call the key. Default: the comment in KEY."`
	Replace bool     `name:"replace" help:"Write the line of a key that is authorized already anew: what this command doesn't say is taken out of it. KEY may be its name or fingerprint, too."`
	Key     []string `arg:"" name:"key" help:"The public key: a line like \"ssh-ed25519 AAAA… name\", quoted or not, a .pub file, or - to read it from standard input."`
}

// Help is shown below the flags.
func (*authorizeCommand) Help() string {
	return `The key may log in at once: the relay need not be restarted. To take a key out:
funnel-relay keys revoke.`
}

var errNoKey = errors.New("no key was given on standard input")
