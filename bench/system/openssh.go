package system

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// OpenSSH is `ssh -N -R` of the installed OpenSSH against its own sshd, with
// throw-away keys and a configuration of its own. Cipher is empty for what the
// two agree on.
func OpenSSH(name, what, cipher string) *System {
	return &System{
		Name: name, What: what, TCP: true,
		start: func(ctx context.Context, place *Place, targets *Targets, running *Running) error {
			o := &openSSH{name: name, cipher: cipher, place: place, dir: filepath.Join(place.Dir, name)}
			return o.start(ctx, targets, running)
		},
	}
}

type openSSH struct {
	name, cipher string
	place        *Place
	dir          string
}

func (o *openSSH) start(ctx context.Context, targets *Targets, running *Running) error {
	// sshd starts itself anew for each connection and wants its whole path.
	sshd, err := findSSHD()
	if err != nil {
		return err
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return fmt.Errorf("ssh: %w (Debian: apt install openssh-client)", ErrMissing)
	}
	identity, err := makeIdentity(filepath.Join(o.dir, "agent"), filepath.Join(o.dir, "relay", "authorized_keys"))
	if err != nil {
		return err
	}
	hostKey, err := makeIdentity(filepath.Join(o.dir, "relay"), filepath.Join(o.dir, "relay", "unused"))
	if err != nil {
		return err
	}
	port, err := freePort(o.place.VPS, o.place.Relay)
	if err != nil {
		return err
	}
	if err := privilegeSeparation(); err != nil {
		return err
	}
	running.Relay, err = start(o.place, o.place.VPS, o.name+".relay", sshd, o.sshdArgs(hostKey, port)...)
	if err != nil {
		return err
	}
	if err := awaitListener(ctx, o.place, o.place.VPS, running.Relay, netip.AddrPortFrom(o.place.Relay, port)); err != nil {
		return err
	}
	echo, err := freePort(o.place.VPS, o.place.Public)
	if err != nil {
		return err
	}
	bulk, err := freePort(o.place.VPS, o.place.Public)
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	args := []string{"-N", "-F", "none", "-i", identity, "-p", strconv.Itoa(int(port)),
		"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(o.dir, "known_hosts")}
	if o.cipher != "" {
		args = append(args, "-c", o.cipher)
	}
	public := func(port uint16) string { return netip.AddrPortFrom(o.place.Public, port).String() }
	args = append(args,
		"-R", public(echo)+":"+targets.TCP.String(), "-R", public(bulk)+":"+targets.Bulk.String(),
		me.Username+"@"+o.place.Relay.String())
	running.Agent, err = start(o.place, o.place.Home, o.name+".agent", ssh, args...)
	if err != nil {
		return err
	}
	running.TCP, running.Bulk = public(echo), public(bulk)
	return awaitListener(ctx, o.place, o.place.VPS, running.Agent, netip.AddrPortFrom(o.place.Public, bulk))
}

func (o *openSSH) sshdArgs(hostKey string, port uint16) []string {
	args := []string{"-D", "-e", "-f", os.DevNull, "-h", hostKey}
	for _, option := range []string{
		"ListenAddress=" + netip.AddrPortFrom(o.place.Relay, port).String(),
		"AuthorizedKeysFile=" + filepath.Join(o.dir, "relay", "authorized_keys"),
		"StrictModes=no", // the directory above is for all
		"PidFile=none", "UsePAM=no", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no",
		"PermitRootLogin=prohibit-password", "AllowTcpForwarding=remote", "GatewayPorts=clientspecified",
		"X11Forwarding=no", "MaxStartups=100",
	} {
		args = append(args, "-o", option)
	}
	return args
}

func findSSHD() (string, error) {
	if path, err := exec.LookPath("sshd"); err == nil {
		return filepath.Abs(path)
	}
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("sshd: %w (Debian: apt install openssh-server)", ErrMissing)
}

// privilegeSeparation makes the directory that Debian's sshd, started by root,
// insists on and its service makes. It stays: any other sshd that has been
// started meanwhile relies on it.
func privilegeSeparation() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

// awaitListener waits until something listens on a TCP address of the host,
// which must be served by p. It looks at the kernel's table: a connection would
// reach the target.
func awaitListener(ctx context.Context, place *Place, host Host, p *Process, address netip.AddrPort) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("it didn't listen on %s within %s", address, readyTime))
	defer cancel()
	for {
		if listens(host, address) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.Exited():
			return p.explain(fmt.Errorf("it ended"))
		case <-ctx.Done():
			return p.explain(context.Cause(ctx))
		}
	}
}

// listens tries to take the address itself.
func listens(host Host, address netip.AddrPort) bool {
	return host.Do(func() error { return tryListen(address) }) != nil
}
