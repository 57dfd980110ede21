package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"funnel/cmd/internal/cmdline"
	"funnel/internal/forward"
	"funnel/internal/keys"
)

// greeting is what the relay says when it is up: where it is, who it is, and
// what to type at the other end.
type greeting struct {
	addresses      []net.Addr
	hostKeys       []ssh.Signer
	ports          forward.Ports // that may be exposed
	authorizedKeys string        // the file
	authorize      string        // what lets a key into it, up to the key
	empty          bool          // it has no key
}

func (g *greeting) print(w io.Writer) {
	for _, address := range g.addresses {
		fmt.Fprintf(w, "funnel-relay %s listening on %s\n", cmdline.Version(version), address)
	}
	for _, key := range g.hostKeys {
		public := key.PublicKey()
		fmt.Fprintf(w, "host key %s (%s)\n", keys.Fingerprint(public), keyKind(public))
	}
	port := examplePort(g.ports)
	fmt.Fprintf(w, "to expose TCP port %d of another machine, run there:\n\n  %s\n\n", port, g.agentCommand(port))
	if g.empty {
		fmt.Fprintf(w, "no key may log in yet: run \"%s 'KEY'\" with the line the agent prints, or add it to %s\n", g.authorize, g.authorizedKeys)
	}
}

// examplePort is Minecraft's, or one that may be exposed.
func examplePort(ports forward.Ports) uint16 {
	const minecraft = 25565
	if len(ports) == 0 || ports.Contains(minecraft) {
		return minecraft
	}
	return ports[len(ports)-1].First // where servers are, rather than the privileged ones
}

// agentCommand is a command line for the other end, which exposes a port.
func (g *greeting) agentCommand(exposed uint16) string {
	host, port := g.reachable()
	relay := host
	if port != 2222 || strings.Contains(host, ":") { // the agent's default
		relay = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return fmt.Sprintf("funnel-agent --host-key %s --tcp %d %s", keys.Fingerprint(g.hostKeys[0].PublicKey()), exposed, relay)
}

// reachable is where the relay can be reached, as well as it can tell.
func (g *greeting) reachable() (host string, port uint16) {
	address, ok := g.addresses[0].(*net.TCPAddr)
	if !ok {
		return unknownHost, 2222
	}
	port = uint16(address.Port) // #nosec G115 -- the port of an address
	if !address.IP.IsUnspecified() {
		return address.IP.String(), port
	}
	return publicAddress(), port
}

// unknownHost stands for the name that only the user knows.
const unknownHost = "YOUR-VPS"

// publicAddress is the first address of this machine that the Internet may
// know; behind a NAT of the provider's there is none.
func publicAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return unknownHost
	}
	best := unknownHost
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		a := prefix.Addr()
		switch {
		case !a.IsGlobalUnicast() || a.IsPrivate():
		case a.Is4():
			return a.String() // what everybody can reach
		case best == unknownHost:
			best = a.String()
		}
	}
	return best
}

// keyKind is the short name of a key's type, as ssh-keygen has it.
func keyKind(key ssh.PublicKey) string {
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		return "ed25519"
	case ssh.KeyAlgoRSA:
		return "rsa"
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return "ecdsa"
	}
	return key.Type()
}
