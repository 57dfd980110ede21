package guard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/agent"
	"funnel/internal/forward"
	"funnel/internal/sshwire"
)

// outcome is what becomes of a request.
type outcome string

const (
	bound   outcome = "bound"
	refused outcome = "refused"
	noLogin outcome = "no login"
)

// accessCase is options in front of a key, what its holder asks for, and what
// becomes of it.
type accessCase struct {
	options string
	network forward.Network
	host    string
	port    uint16
	want    outcome
}

const tcp, udp = forward.TCP, forward.UDP

// accessCases is the table: option x request x outcome.
var accessCases = []accessCase{
	{"", tcp, "127.0.0.1", 21500, bound},
	{"", udp, "127.0.0.1", 21500, bound},
	{"", tcp, "", 21500, bound},
	{"", tcp, "localhost", 21500, bound},
	{"", tcp, "127.0.0.1", 0, bound},
	{"", udp, "127.0.0.1", 0, bound},
	{"", tcp, "127.0.0.1", 444, refused}, // the operator's limit
	{"", udp, "127.0.0.1", 444, refused},
	{"", tcp, "example.com", 21500, refused}, // no names are looked up
	{"restrict", tcp, "127.0.0.1", 21500, refused},
	{"restrict", udp, "127.0.0.1", 21500, refused},
	{"no-port-forwarding", tcp, "127.0.0.1", 21500, refused},
	{"no-port-forwarding", udp, "127.0.0.1", 21500, refused},
	{"restrict,port-forwarding", tcp, "127.0.0.1", 21500, bound},
	{"restrict,port-forwarding", udp, "127.0.0.1", 21500, bound},
	{"port-forwarding,restrict", tcp, "127.0.0.1", 21500, refused},
	{"RESTRICT,Port-Forwarding", tcp, "127.0.0.1", 21500, bound},
	{`restrict,permitlisten="21500"`, tcp, "127.0.0.1", 21500, refused},
	{`permitlisten="21500/tcp"`, tcp, "127.0.0.1", 21500, bound},
	{`permitlisten="21500/tcp"`, udp, "127.0.0.1", 21500, refused},
	{`permitlisten="21500/udp"`, tcp, "127.0.0.1", 21500, refused},
	{`permitlisten="21500/udp"`, udp, "127.0.0.1", 21500, bound},
	{`permitlisten="21500"`, tcp, "127.0.0.1", 21500, bound},
	{`permitlisten="21500"`, tcp, "127.0.0.1", 21501, refused},
	{`permitlisten="21500"`, tcp, "127.0.0.1", 0, bound}, // the one that it may
	{`permitlisten="21500"`, tcp, "", 21500, bound},
	{`permitlisten="21500"`, tcp, "localhost", 21500, bound},
	{`permitlisten="21500"`, udp, "127.0.0.1", 21501, refused},
	{`permitlisten="21500-21510"`, tcp, "127.0.0.1", 21510, bound},
	{`permitlisten="21500-21510"`, tcp, "127.0.0.1", 21511, refused},
	{`permitlisten="21500-21510/udp"`, udp, "127.0.0.1", 21505, bound},
	{`permitlisten="21500,21510-21511"`, tcp, "127.0.0.1", 21511, bound},
	{`permitlisten="21500,21510-21511"`, tcp, "127.0.0.1", 21505, refused},
	{`permitlisten="21500",permitlisten="21501/udp"`, udp, "127.0.0.1", 21501, bound},
	{`permitlisten="21500",permitlisten="21501/udp"`, tcp, "127.0.0.1", 21501, refused},
	{`permitlisten="localhost:21500"`, tcp, "localhost", 21500, bound},
	{`permitlisten="localhost:21500"`, tcp, "127.0.0.1", 21500, refused},
	{`permitlisten="localhost:21500"`, tcp, "", 21500, refused},
	{`permitlisten="127.0.0.1:21500"`, tcp, "127.0.0.1", 21500, bound},
	{`permitlisten="127.0.0.1:21500"`, udp, "127.0.0.1", 21500, bound},
	{`permitlisten="127.0.0.1:21500"`, udp, "127.0.0.2", 21500, refused},
	{`permitlisten="127.0.0.*:21500"`, tcp, "127.0.0.2", 21500, bound},
	{`permitlisten="*:21500"`, tcp, "", 21500, bound},
	{`permitlisten="*:*"`, tcp, "127.0.0.1", 21500, bound},
	{`permitlisten="*"`, udp, "127.0.0.1", 21500, bound},
	{`permitlisten="444"`, tcp, "127.0.0.1", 444, refused}, // the operator's limit holds
	{`from="127.0.0.1"`, tcp, "127.0.0.1", 21500, bound},
	{`from="127.0.0.0/8"`, udp, "127.0.0.1", 21500, bound},
	{`from="192.0.2.0/24"`, tcp, "127.0.0.1", 21500, noLogin},
	{`from="192.0.2.0/24"`, udp, "127.0.0.1", 21500, noLogin},
	{`from="!127.0.0.1,*"`, tcp, "127.0.0.1", 21500, noLogin},
	{`from="127.*"`, tcp, "127.0.0.1", 21500, bound},
	{`expiry-time="20010101"`, tcp, "127.0.0.1", 21500, noLogin},
	{`expiry-time="20010101"`, udp, "127.0.0.1", 21500, noLogin},
	{`expiry-time="29991231Z"`, tcp, "127.0.0.1", 21500, bound},
	{`expiry-time="299912312359"`, udp, "127.0.0.1", 21500, bound},
	{`command="date"`, tcp, "127.0.0.1", 21500, bound},
	{"no-pty,no-X11-forwarding,no-agent-forwarding,no-user-rc", tcp, "127.0.0.1", 21500, bound},
	{`permitopen="127.0.0.1:1"`, tcp, "127.0.0.1", 21500, bound},
	{`environment="A=b",tunnel="0"`, tcp, "127.0.0.1", 21500, bound},
	{"no-such-option", tcp, "127.0.0.1", 21500, noLogin},
	{`permitlisten="http"`, tcp, "127.0.0.1", 21500, noLogin},
	{"cert-authority", tcp, "127.0.0.1", 21500, noLogin}, // it signs, and is no login itself
	{`principals="a"`, tcp, "127.0.0.1", 21500, noLogin},
	{"verify-required", tcp, "127.0.0.1", 21500, noLogin},
	{`max-forwards="1"`, tcp, "127.0.0.1", 21500, bound},
	{`max-forwards="0"`, tcp, "127.0.0.1", 21500, noLogin},
	{`max-connections="3",max-flows="3",max-new-flows="3"`, udp, "127.0.0.1", 21500, bound},
	{`max-bandwidth="10M",max-forward-bandwidth="500k"`, tcp, "127.0.0.1", 21500, bound},
	{`max-bandwidth="fast"`, tcp, "127.0.0.1", 21500, noLogin},
	{`restrict,port-forwarding,permitlisten="21500/tcp",from="127.0.0.1",expiry-time="29991231",max-forwards="1"`, tcp, "127.0.0.1", 21500, bound},
	{`restrict,port-forwarding,permitlisten="21500/tcp",from="127.0.0.1",expiry-time="29991231",max-forwards="1"`, udp, "127.0.0.1", 21500, refused},
}

func (c accessCase) String() string {
	return fmt.Sprintf("%s %s %s", c.options, c.network, net.JoinHostPort(c.host, strconv.Itoa(int(c.port))))
}

// TestAccessTable runs each case by the agent, by x/crypto's client and, for TCP,
// by stock ssh; and ssh-keygen must be able to read each line.
func TestAccessTable(t *testing.T) {
	require.GreaterOrEqual(t, len(accessCases), 60)
	needs(t, "ssh", "ssh-keygen")
	g := start(t, nil)
	g.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "player", "-f", "id")
	private, err := os.ReadFile(g.path("id"))
	require.NoError(t, err)
	key, err := ssh.ParsePrivateKey(private)
	require.NoError(t, err)
	counts := make(map[outcome]int)
	for _, c := range accessCases {
		t.Run(c.String(), func(t *testing.T) {
			line := strings.TrimSpace(c.options+" "+keyText(key.PublicKey())) + " player\n"
			g.write("authorized_keys", line)
			require.Contains(t, g.run("ssh-keygen", "-l", "-f", "authorized_keys"), ssh.FingerprintSHA256(key.PublicKey()))
			require.Equal(t, c.want, g.byAgent(t, c, key), "by the agent")
			g.settle(t)
			counts[c.want]++
			if c.network == udp {
				return
			}
			require.Equal(t, c.want, g.byClient(t, c, key), "by x/crypto's client")
			g.settle(t)
			if c.options == "" && c.host == "example.com" {
				return // ssh would look it up
			}
			require.Equal(t, c.want, g.bySSH(t, c), "by ssh")
			g.settle(t)
		})
	}
	require.Greater(t, min(counts[bound], counts[refused], counts[noLogin]), 10)
}

// settle waits until every link has ended, so that its ports are free.
func (g *guarded) settle(t *testing.T) {
	require.Eventually(t, func() bool {
		log := g.log.String()
		return strings.Count(log, `msg="link opened"`) == strings.Count(log, `msg="link closed"`)
	}, patience, time.Millisecond)
}

// byAgent asks as funnel-agent does.
func (g *guarded) byAgent(t *testing.T, c accessCase, key ssh.Signer) outcome {
	config := g.agentConfig("player", key)
	config.Forwards = []forward.Forward{{Network: c.network, BindHost: c.host, BindPort: c.port, TargetHost: "127.0.0.1", TargetPort: 1}}
	reports := make(chan agent.Report, 10)
	config.Report = func(r agent.Report) { reports <- r }
	a, err := agent.New(config)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case r := <-reports:
		if r.Forwards[0].Err != nil {
			return refused
		}
		return bound
	case err := <-ended:
		ended <- err
		switch {
		case errors.Is(err, agent.ErrAuth):
			return noLogin
		case errors.Is(err, agent.ErrForward):
			return refused
		}
		require.NoError(t, err)
		return "ended"
	}
}

// byClient asks as any SSH client does.
func (g *guarded) byClient(t *testing.T, c accessCase, key ssh.Signer) outcome {
	client, err := g.client("player", key)
	if err != nil {
		require.ErrorContains(t, err, "unable to authenticate")
		return noLogin
	}
	defer client.Close()
	ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: c.host, Port: uint32(c.port)}))
	require.NoError(t, err)
	if !ok {
		return refused
	}
	return bound
}

// bySSH asks with the stock client.
func (g *guarded) bySSH(t *testing.T, c accessCase, more ...string) outcome {
	host := c.host
	if host == "" {
		host = "*"
	}
	bind := net.JoinHostPort(host, strconv.Itoa(int(c.port)))
	if host == "*" {
		bind = "*:" + strconv.Itoa(int(c.port))
	}
	_, port, err := net.SplitHostPort(g.address)
	require.NoError(t, err)
	arguments := append([]string{"-F", "none", "-N", "-v", "-i", "id", "-p", port,
		"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes",
		"-R", bind + ":127.0.0.1:1"}, more...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "ssh", append(arguments, "player@127.0.0.1")...)
	command.Dir = g.directory
	stderr, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait() // killed, mostly
	}()
	var said bytes.Buffer
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(&said, line)
		switch {
		case strings.Contains(line, "remote forward success"):
			return bound
		case strings.Contains(line, "remote port forwarding failed"), strings.Contains(line, "remote forward failure"):
			return refused
		case strings.Contains(line, "Permission denied"):
			return noLogin
		}
	}
	require.Fail(t, "ssh told nothing", said.String())
	return ""
}
