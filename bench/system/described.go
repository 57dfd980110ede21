package system

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Description is a tunnel that a user describes in a file. Its strings may hold
// placeholders in braces; see placeholders.
type Description struct {
	Name string `yaml:"name"`
	What string `yaml:"what"`
	// Server is started on the VPS, Client at home: a program and its arguments.
	Server []string `yaml:"server"`
	Client []string `yaml:"client"`
	// Files are written before, by name, below {dir}.
	Files map[string]string `yaml:"files"`
	// UDP, TCP say what it carries: from {udp}, {tcp} and {bulk} on the VPS to
	// {udp_target}, {tcp_target} and {bulk_target}.
	UDP bool `yaml:"udp"`
	TCP bool `yaml:"tcp"`
	// Settle is how long the tunnel needs after its client was started, 1 s
	// unless said.
	Settle time.Duration `yaml:"settle"`
}

// ReadDescription reads a file.
func ReadDescription(path string) (*Description, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := &Description{Settle: time.Second}
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	if err := decoder.Decode(d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)

func (d *Description) check() error {
	switch {
	case !plainName.MatchString(d.Name):
		return fmt.Errorf("name %q: use small letters, digits, dots and dashes", d.Name)
	case len(d.Server) == 0:
		return errors.New("server is missing: the program to start on the VPS and its arguments, as a list")
	case len(d.Client) == 0:
		return errors.New("client is missing: the program to start at home and its arguments, as a list")
	case !d.UDP && !d.TCP:
		return errors.New("say what it carries: udp: true, tcp: true, or both")
	}
	known := placeholders(&Place{}, "", 0, [3]uint16{}, &Targets{})
	all := append(append([]string{}, d.Server...), d.Client...)
	for name := range d.Files { // whose text may hold braces of its own
		if !filepath.IsLocal(name) {
			return fmt.Errorf("file %q: must be a name within {dir}, which doesn't begin with a slash or lead out of it", name)
		}
	}
	for _, word := range all {
		for _, match := range placeholder.FindAllString(word, -1) {
			if _, ok := known[match]; !ok {
				return fmt.Errorf("%q: no placeholder %s; there are %s", word, match, strings.Join(placeholderNames, " "))
			}
		}
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

var placeholderNames = []string{"{dir}", "{server}", "{server_port}", "{public}", "{udp}", "{tcp}", "{bulk}", "{udp_target}", "{tcp_target}", "{bulk_target}"}

// placeholders are what stands for what. Ports are of udp, tcp and bulk.
func placeholders(place *Place, dir string, server uint16, ports [3]uint16, targets *Targets) map[string]string {
	number := func(port uint16) string { return fmt.Sprint(port) }
	return map[string]string{
		"{dir}":         dir,                   // for the tunnel's files
		"{server}":      place.Relay.String(),  // the VPS as home reaches it
		"{server_port}": number(server),        // free for TCP and UDP there
		"{public}":      place.Public.String(), // the VPS as the player reaches it
		"{udp}":         number(ports[0]),      // ports to expose on {public}
		"{tcp}":         number(ports[1]),
		"{bulk}":        number(ports[2]),
		"{udp_target}":  number(targets.UDP.Port()), // ports on 127.0.0.1 at home
		"{tcp_target}":  number(targets.TCP.Port()),
		"{bulk_target}": number(targets.Bulk.Port()),
	}
}

// System is the described one.
func (d *Description) System() *System {
	return &System{Name: d.Name, What: d.What, UDP: d.UDP, TCP: d.TCP, start: d.start}
}

func (d *Description) start(ctx context.Context, place *Place, targets *Targets, running *Running) error {
	for _, program := range []string{d.Server[0], d.Client[0]} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s: %w", program, ErrMissing)
		}
	}
	dir := filepath.Join(place.Dir, d.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var ports [4]uint16
	for i, address := range []netip.Addr{place.Public, place.Public, place.Public, place.Relay} {
		var err error
		if ports[i], err = freePort(place.VPS, address); err != nil {
			return err
		}
	}
	var pairs []string
	for name, value := range placeholders(place, dir, ports[3], [3]uint16(ports[:3]), targets) {
		pairs = append(pairs, name, value)
	}
	fill := strings.NewReplacer(pairs...)
	for name, text := range d.Files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(fill.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	if err := d.startPrograms(ctx, place, running, fill); err != nil {
		return err
	}
	public := func(port uint16) string { return netip.AddrPortFrom(place.Public, port).String() }
	if d.UDP {
		running.UDP = public(ports[0])
	}
	if d.TCP {
		running.TCP, running.Bulk = public(ports[1]), public(ports[2])
	}
	return nil
}

func (d *Description) startPrograms(ctx context.Context, place *Place, running *Running, fill *strings.Replacer) error {
	for _, side := range []struct {
		role    string
		host    Host
		command []string
		process **Process
	}{{"relay", place.VPS, d.Server, &running.Relay}, {"agent", place.Home, d.Client, &running.Agent}} {
		var args []string
		for _, word := range side.command[1:] {
			args = append(args, fill.Replace(word))
		}
		p, err := start(place, side.host, d.Name+"."+side.role, side.command[0], args...)
		if err != nil {
			return err
		}
		*side.process = p
		// Nobody knows how a stranger says that it is up.
		select {
		case <-time.After(d.Settle):
		case <-p.Exited():
			return p.explain(errors.New("it ended"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
