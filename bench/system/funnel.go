package system

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"funnel/internal/keys"
)

// Programs are the paths of funnel's two programs.
type Programs struct {
	Relay, Agent string
}

// Funnel is funnel-relay on the VPS and funnel-agent at home. Copies is what
// both are given as --copies; args are more flags of the agent.
func Funnel(name, what string, programs Programs, copies string, args ...string) *System {
	return &System{
		Name: name, What: what, UDP: true, TCP: true,
		start: func(ctx context.Context, place *Place, targets *Targets, running *Running) error {
			f := &funnel{name: name, programs: programs, copies: copies, args: args, place: place}
			return f.start(ctx, targets, running)
		},
	}
}

type funnel struct {
	name     string
	programs Programs
	copies   string
	args     []string
	place    *Place
}

var (
	listening = regexp.MustCompile(`listening on \S+:(\d+)\n`)
	hostKey   = regexp.MustCompile(`(?m)^host key (SHA256:\S+)`)
)

func (f *funnel) start(ctx context.Context, targets *Targets, running *Running) error {
	relayDir, agentDir := filepath.Join(f.place.Dir, f.name, "relay"), filepath.Join(f.place.Dir, f.name, "agent")
	identity, err := makeIdentity(agentDir, filepath.Join(relayDir, "authorized_keys"))
	if err != nil {
		return err
	}
	running.Relay, err = start(f.place, f.place.VPS, f.name+".relay", f.programs.Relay, "serve",
		"--listen", netip.AddrPortFrom(f.place.Relay, 0).String(), "--state-dir", relayDir, "--copies", f.copies)
	if err != nil {
		return err
	}
	port, err := running.Relay.waitFor(ctx, listening)
	if err != nil {
		return err
	}
	fingerprint, err := running.Relay.waitFor(ctx, hostKey)
	if err != nil {
		return err
	}
	args := []string{"connect", "--state-dir", agentDir, "--identity", identity, "--host-key", fingerprint[1], "--copies", f.copies}
	for _, target := range []struct {
		network string
		address netip.AddrPort
	}{{"tcp", targets.TCP}, {"tcp", targets.Bulk}, {"udp", targets.UDP}} {
		args = append(args, "--"+target.network, "0:"+target.address.String())
	}
	args = append(append(args, f.args...), net.JoinHostPort(f.place.Relay.String(), port[1]))
	running.Agent, err = start(f.place, f.place.Home, f.name+".agent", f.programs.Agent, args...)
	if err != nil {
		return err
	}
	for _, public := range []struct {
		network string
		target  netip.AddrPort
		address *string
	}{{"tcp", targets.TCP, &running.TCP}, {"tcp", targets.Bulk, &running.Bulk}, {"udp", targets.UDP, &running.UDP}} {
		line := fmt.Sprintf(`(?m)^  %s  \S+:(\d+) +-> %s$`, public.network, regexp.QuoteMeta(public.target.String()))
		match, err := running.Agent.waitFor(ctx, regexp.MustCompile(line))
		if err != nil {
			return err
		}
		*public.address = net.JoinHostPort(f.place.Public.String(), match[1])
	}
	return nil
}

// makeIdentity makes a throw-away key in dir and lets it in.
func makeIdentity(dir, authorizedKeys string) (path string, err error) {
	for _, d := range []string{dir, filepath.Dir(authorizedKeys)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", err
		}
	}
	path = filepath.Join(dir, "id_ed25519")
	signer, _, err := keys.LoadOrCreate(path)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " bench\n"
	return path, os.WriteFile(authorizedKeys, []byte(line), 0o600)
}
