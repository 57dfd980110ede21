package relay

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

func TestEchoThroughThePublicPort(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	var clients sync.WaitGroup
	for i := range 20 {
		conn := connect(t, "127.0.0.1", port)
		clients.Go(func() {
			for j := range 50 {
				requireEcho(t, conn, "client "+strconv.Itoa(i)+" message "+strconv.Itoa(j))
			}
		})
	}
	clients.Wait()
}

func TestListenerOfTheStandardClient(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var server sync.WaitGroup
	server.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "from "+conn.RemoteAddr().String())
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	text, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "from "+conn.LocalAddr().String(), string(text))
	server.Wait()
	require.NoError(t, listener.Close())
	_, err = net.Dial("tcp", conn.RemoteAddr().String())
	require.Error(t, err)
}

func TestMuchDataBothWays(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	const size = 8<<20 + 333
	toTarget, toClient := make([]byte, size), make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(toTarget)
	_, _ = random.Read(toClient)
	received := make(chan [sha256.Size]byte, 1)
	serveEach(t, client, func(channel ssh.Channel) {
		var writer sync.WaitGroup
		writer.Go(func() {
			_, _ = channel.Write(toClient)
			_ = channel.CloseWrite()
		})
		data, _ := io.ReadAll(channel)
		received <- sha256.Sum256(data)
		writer.Wait()
		_ = channel.Close()
	})
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	var writer sync.WaitGroup
	writer.Go(func() {
		_, _ = conn.Write(toTarget)
		_ = conn.CloseWrite()
	})
	data, err := io.ReadAll(conn)
	require.NoError(t, err)
	writer.Wait()
	require.Equal(t, sha256.Sum256(toClient), sha256.Sum256(data))
	require.Equal(t, sha256.Sum256(toTarget), <-received)
}

func TestHalfCloseIsKept(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	heard := make(chan string, 1)
	serveEach(t, client, func(channel ssh.Channel) {
		text, _ := io.ReadAll(channel)
		heard <- string(text)
		// The answer starts only when the question has ended.
		_, _ = channel.Write([]byte("the answer"))
		_ = channel.CloseWrite()
		_ = channel.Close()
	})
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	_, err := conn.Write([]byte("the question"))
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "the answer", string(answer))
	require.Equal(t, "the question", <-heard)
}

func TestHalfCloseByTheTarget(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	heard := make(chan string, 1)
	serveEach(t, client, func(channel ssh.Channel) {
		_, _ = channel.Write([]byte("welcome"))
		_ = channel.CloseWrite()
		text, _ := io.ReadAll(channel)
		heard <- string(text)
		_ = channel.Close()
	})
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	welcome, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "welcome", string(welcome))
	_, err = conn.Write([]byte("still here"))
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, "still here", <-heard)
}

func TestOfferNamesWhatWasAskedFor(t *testing.T) {
	s := startRelay(t)
	addresses := map[string][]string{ // where to reach each bind address
		"":          {"127.0.0.1"},
		"*":         {"127.0.0.1"},
		"0.0.0.0":   {"127.0.0.1"},
		"127.0.0.1": {"127.0.0.1"},
		"localhost": {"127.0.0.1"},
		"LocalHost": {"127.0.0.1"},
	}
	if hasIPv6() {
		addresses[""] = append(addresses[""], "::1")
		addresses["*"] = append(addresses["*"], "::1")
		addresses["localhost"] = append(addresses["localhost"], "::1")
		addresses["::"] = []string{"::1"}
		addresses["::1"] = []string{"::1"}
		addresses["0:0:0:0:0:0:0:1"] = []string{"::1"}
		addresses["::ffff:127.0.0.1"] = []string{"127.0.0.1"}
	}
	for address, hosts := range addresses {
		t.Run("address "+address, func(t *testing.T) {
			client := s.dial()
			channels := offers(t, client)
			port := forward(t, client, address, 0)
			for _, host := range hosts {
				conn := connect(t, host, port)
				offer := <-channels
				from, err := sshwire.ParseForwarded(offer.ExtraData())
				require.NoError(t, err)
				local := addrPort(conn.LocalAddr())
				require.Equal(t, sshwire.Forwarded{
					Address: address, Port: uint32(port),
					OriginAddress: local.Addr().String(), OriginPort: uint32(local.Port()),
				}, from)
				require.NoError(t, offer.Reject(ssh.ConnectionFailed, ""))
				requireReset(t, conn)
			}
			require.True(t, cancelForward(t, client, address, port))
		})
	}
}

func TestFamiliesAreKeptApart(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	for address, other := range map[string]string{"0.0.0.0": "::1", "::": "127.0.0.1", "127.0.0.1": "::1"} {
		if address == "::" && !hasIPv6() {
			continue
		}
		port := forward(t, client, address, freePort(t)) // which nobody has at the other address
		_, err := net.Dial("tcp", net.JoinHostPort(other, strconv.Itoa(int(port))))
		require.Error(t, err, "%s of a forward at %s", other, address)
	}
}

func TestRefusedTargetResetsTheClient(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	channels := offers(t, client)
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	require.NoError(t, (<-channels).Reject(ssh.ConnectionFailed, "connection refused"))
	requireReset(t, conn)
}

func TestResetOfTheClientClosesTheChannel(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	channels := offers(t, client)
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	raw, requests, err := (<-channels).Accept()
	require.NoError(t, err)
	channel := sshwire.NewChannel(raw, requests)
	require.NoError(t, conn.SetLinger(0))
	require.NoError(t, conn.Close())
	<-channel.Closed()
}

func TestChannelClosedByAnAgentResetsTheClient(t *testing.T) {
	s := startRelay(t)
	config := s.clientConfig(s.key)
	config.ClientVersion = sshwire.AgentVersion("test") // which would send EOF first, had it finished
	client := s.dialWith(config)
	serveEach(t, client, func(channel ssh.Channel) {
		_, _ = channel.Read(make([]byte, 1))
		_ = channel.Close()
	})
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	_, err := conn.Write([]byte("x"))
	require.NoError(t, err)
	requireReset(t, conn)
}

func TestCancel(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", freePort(t))
	conn := connect(t, "127.0.0.1", port)
	requireEcho(t, conn, "before")

	require.False(t, cancelForward(t, client, "localhost", port), "another address")
	require.False(t, cancelForward(t, client, "127.0.0.1", port-1), "another port")
	require.True(t, cancelForward(t, client, "127.0.0.1", port))
	require.False(t, cancelForward(t, client, "127.0.0.1", port), "it is gone")
	_, err := net.Dial("tcp", conn.RemoteAddr().String())
	require.Error(t, err)
	requireEcho(t, conn, "after: conns that are there go on")

	// It can be had again, and be cancelled by what was asked for.
	forward(t, client, "127.0.0.1", port)
	require.True(t, cancelForward(t, client, "127.0.0.1", port))
	forward(t, client, "127.0.0.1", 0)
	require.True(t, cancelForward(t, client, "127.0.0.1", 0))
	require.False(t, cancelForward(t, client, "127.0.0.1", 0))
}

func TestForeignForwardCannotBeCancelled(t *testing.T) {
	s := startRelay(t)
	owner, other := s.dial(), s.dial()
	serveEach(t, owner, echo)
	port := forward(t, owner, "127.0.0.1", 0)
	require.False(t, cancelForward(t, other, "127.0.0.1", port))
	requireEcho(t, connect(t, "127.0.0.1", port), "still there")
}

func TestOnePortTwoLinks(t *testing.T) {
	s := startRelay(t)
	first := s.dial()
	serveEach(t, first, echo)
	port := forward(t, first, "", freePort(t))

	for _, version := range []string{"SSH-2.0-stock_client", "SSH-2.0-funnel_agent_test"} {
		config := s.clientConfig(s.key)
		config.ClientVersion = version
		second := s.dialWith(config)
		for _, address := range []string{"", "0.0.0.0", "127.0.0.1"} {
			ok, reply, err := second.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: address, Port: uint32(port)}))
			require.NoError(t, err)
			require.False(t, ok)
			refusal, told := sshwire.ParseRefusal(reply)
			require.Equal(t, version == "SSH-2.0-funnel_agent_test", told)
			if told {
				require.False(t, refusal.Final)
				require.Equal(t, "TCP port "+strconv.Itoa(int(port))+" of the relay is in use", refusal.Reason)
			}
		}
	}
	requireEcho(t, connect(t, "127.0.0.1", port), "the first goes on")

	require.NoError(t, first.Close())
	second := s.dial()
	serveEach(t, second, echo)
	require.Eventually(t, func() bool {
		ok, _, err := second.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "", Port: uint32(port)}))
		return err == nil && ok
	}, patience, 10*time.Millisecond)
	requireEcho(t, connect(t, "127.0.0.1", port), "now the second's")
}

func TestForbiddenForwards(t *testing.T) {
	s := startRelay(t)
	limited := newKey(t)
	port := freePort(t)
	s.authorize(limited, `permitlisten="127.0.0.1:`+strconv.Itoa(int(port))+`"`)
	none := newKey(t)
	s.authorize(none, `restrict`)
	for name, test := range map[string]struct {
		key     ssh.Signer
		address string
		port    uint32
		reason  string
	}{
		"privileged port":  {s.key, "127.0.0.1", 22, "port 22"},
		"port of the key":  {limited, "127.0.0.1", uint32(port) ^ 1, strconv.Itoa(int(port) ^ 1)},
		"address":          {limited, "0.0.0.0", uint32(port), strconv.Itoa(int(port))},
		"no forwards":      {none, "127.0.0.1", 40123, "40123"},
		"name":             {s.key, "relay.example.org", 40123, "relay.example.org"},
		"port too high":    {s.key, "127.0.0.1", 65536 + 40123, "malformed"},
		"control in text":  {s.key, "127.0.0.1\x00", 40123, "malformed"},
		"unspecified zone": {s.key, "::%\"", 40123, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := s.clientConfig(test.key)
			config.ClientVersion = sshwire.AgentVersion("test")
			client := s.dialWith(config)
			ok, reply, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: test.address, Port: test.port}))
			require.NoError(t, err)
			require.False(t, ok)
			refusal, told := sshwire.ParseRefusal(reply)
			require.True(t, told)
			require.True(t, refusal.Final)
			require.Contains(t, refusal.Reason, test.reason)
		})
	}
	config := s.clientConfig(limited)
	client := s.dialWith(config)
	serveEach(t, client, echo)
	require.Equal(t, port, forward(t, client, "127.0.0.1", 0), "the one port that the key may bind")
}

func TestLinkDeathEndsBindingsAndConns(t *testing.T) {
	s := startRelay(t)
	config := s.clientConfig(s.key)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	conn, channels, requests, err := ssh.NewClientConn(raw, s.address, config)
	require.NoError(t, err)
	client := ssh.NewClient(conn, channels, requests)
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	public := connect(t, "127.0.0.1", port)
	requireEcho(t, public, "alive")

	require.NoError(t, raw.(*net.TCPConn).SetLinger(0))
	require.NoError(t, raw.Close())
	requireReset(t, public)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", public.RemoteAddr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, patience, 10*time.Millisecond)
}
