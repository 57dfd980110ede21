package main

import (
	"cmp"
	"log/slog"
	"net"
	"strconv"

	"funnel/internal/sshconfig"
)

// defaultPort is where funnel-relay listens by default; port 22 belongs to the
// VPS's own sshd.
const defaultPort = 2222

// defaultUser is whom to log in as. funnel-relay knows keys, not users.
const defaultUser = "funnel"

// relay is the relay as the command line and the ssh configuration name it.
type relay struct {
	address    string // host:port
	user       string
	identities []string // of the ssh configuration
	knownHosts []string // nil for the user's
}

// relay resolves the argument: what it says comes first, then the ssh
// configuration, then our defaults.
func (c *connectionFlags) relay(log *slog.Logger) (relay, error) {
	user, alias, port, err := sshconfig.ParseDestination(c.Relay)
	if err != nil {
		return relay{}, err
	}
	host, warnings, err := sshconfig.Lookup(alias)
	if err != nil {
		return relay{}, err
	}
	for _, warning := range warnings {
		log.Warn("ssh configuration", "warning", string(warning))
	}
	knownHosts := c.KnownHosts
	if len(knownHosts) == 0 {
		knownHosts = host.UserKnownHostsFiles
	}
	return relay{
		address: net.JoinHostPort(
			cmp.Or(host.HostName, alias),
			strconv.Itoa(int(cmp.Or(port, host.Port, defaultPort)))),
		user:       cmp.Or(user, host.User, defaultUser),
		identities: host.IdentityFiles,
		knownHosts: knownHosts,
	}, nil
}
