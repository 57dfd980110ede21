//go:build linux

package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// notAnAddress is what a stranger calls himself to have somebody else banned.
const notAnAddress = `x level=WARN msg="login refused" remote=192.0.2.66:1 user=","msg":"login refused","remote":"192.0.2.66:1","user":"`

// TestFail2ban feeds fail2ban with what a relay logs about strangers: it must
// find each misdeed and its source, and nothing else.
func TestFail2ban(t *testing.T) {
	need(t, "fail2ban-regex")
	addresses := []string{"127.0.0.1"}
	if hasIPv6() {
		addresses = append(addresses, "::1")
	}
	for _, address := range addresses {
		for _, format := range []string{"text", "json"} {
			t.Run(address+" "+format, func(t *testing.T) {
				t.Parallel() // much of it is waiting
				r := &relay{state: t.TempDir(), key: newIdentity(t), address: net.JoinHostPort(address, "0")}
				r.misbehaveAt(t, format)
				log := r.log(t, format)
				found := banned(t, log)
				network := strings.ReplaceAll(log, "::1/128", "2001:db8::/64") // as seen from outside
				require.Equal(t, address == "::1", count(banned(t, network), "2001:db8::/64 ", "source kept out") == 1)
				require.Zero(t, count(found, "192.0.2.66", ""), found)
				for event, want := range map[string]struct {
					times int // at least
					ip    string
				}{
					"its source has too many connections that are not logged in": {1, address},
					"is revoked":                {1, address},
					"the key is not authorized": {2, address},
					"source kept out":           {1, address},
					"its source is kept out":    {1, address},
				} {
					require.GreaterOrEqual(t, count(found, want.ip+" ", event), want.times, "%s\nin:\n%s\nfound:\n%s", event, log, found)
				}
				require.Positive(t, count(log, "", "connection ended before a login"))
				require.Zero(t, count(found, "", "connection ended before a login"))
			})
		}
	}
}

// TestFail2banSparesTheInnocent: who logs in, under whatever name, and who is
// turned away because others are too many, has done nothing.
func TestFail2banSparesTheInnocent(t *testing.T) {
	need(t, "fail2ban-regex")
	for _, format := range []string{"text", "json"} {
		r := startRelay(t, "--log-format", format, "--max-startups", "1")
		// From another address: a source that has logged in has places of its own.
		agent := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn, err := agent.DialContext(t.Context(), "tcp", r.address)
		require.NoError(t, err)
		config, err := r.clientConfig(notAnAddress, r.key)
		require.NoError(t, err)
		client, _, _, err := ssh.NewClientConn(conn, r.address, config)
		require.NoError(t, err)
		require.NoError(t, client.Close())
		r.expect("link opened")
		r.until(t, "too many connections are not logged in", func() { r.silent(t) })
		require.Empty(t, banned(t, r.log(t, format)))
	}
}

// misbehaveAt starts a relay and does to it all that strangers do.
func (r *relay) misbehaveAt(t *testing.T, format string) {
	revoked := newIdentity(t)
	r.authorize(t, revoked)
	list := filepath.Join(r.state, "revoked")
	require.NoError(t, os.WriteFile(list, []byte(revoked.public+"\n"), 0o600))
	r.run(t, "--log-format", format, "--log-level", "debug", "--revoked-keys", list,
		"--per-source-penalty-exempt-list", "none", "--per-source-rate", "1000", "--per-source-max-startups", "8",
		"--per-source-net-block-size", "32:128", // ::/64 is no network to fail2ban
		// Only what comes instead of a login counts, and for long.
		"--per-source-penalties", "authfail:0s noauth:1h grace-exceeded:0s min:14h max:20h")
	stranger := newIdentity(t)
	for user, key := range map[string]identity{"revoked": revoked, "x": stranger, notAnAddress: stranger} {
		_, err := r.loginAs(user, key)
		require.Error(t, err)
	}
	r.expectTimes("login refused\".*held_back", 3)

	var silent []net.Conn
	r.until(t, "its source has too many connections that are not logged in", func() { silent = append(silent, r.silent(t)) })
	for _, conn := range silent {
		require.NoError(t, conn.Close())
	}
	r.expect("connection ended before a login")
	r.until(t, "source kept out", func() {
		conn := r.silent(t)
		_, _ = io.WriteString(conn, "SSH-2.0-x\r\n")         // it may have hung up
		_, _ = io.Copy(conn, io.LimitReader(noise(1), 4096)) // likewise
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	})
	r.until(t, "its source is kept out for what it did", func() { _ = r.silent(t).Close() })
}

// until does something until the relay says so, which it may be slow to do, or
// hold back for some seconds.
func (r *relay) until(t *testing.T, says string, do func()) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(r.said(), says); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "the relay doesn't say %q", says)
		do()
	}
}

// loginAs logs in as any SSH client may.
func (r *relay) loginAs(user string, key identity) (*ssh.Client, error) {
	config, err := r.clientConfig(user, key)
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", r.address, config)
}

func (r *relay) clientConfig(user string, key identity) (*ssh.ClientConfig, error) {
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.hostKey))
	return &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key.signer)},
		HostKeyCallback: ssh.FixedHostKey(hostKey), Timeout: patience,
	}, err
}

// silent is a connection that says nothing.
func (r *relay) silent(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// log is what the relay has logged so far.
func (r *relay) log(t *testing.T, format string) string {
	begin := map[string]string{"text": "time=", "json": "{"}[format]
	var log strings.Builder
	for line := range strings.Lines(r.said()) {
		if strings.HasPrefix(line, begin) && strings.HasSuffix(line, "\n") {
			log.WriteString(line)
		}
	}
	require.NotEmpty(t, log.String())
	return log.String()
}

// banned is the lines of a log that the filter finds, each after the address
// that it would ban.
func banned(t *testing.T, log string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte(log), 0o600))
	command := exec.Command("fail2ban-regex", "-o", "<ip> <matches>", path, "../../packaging/fail2ban/filter.d/funnel-relay.conf")
	out, err := command.Output()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 1 {
		err = nil // nothing was found
	}
	require.NoError(t, err, "%s", out)
	return string(out)
}

// count is how many lines begin with one text and hold another.
func count(text, begin, holds string) int {
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, holds) {
			n++
		}
	}
	return n
}
