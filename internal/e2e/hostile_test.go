//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/proto"
)

// maxGrowth is how much a relay's memory may grow under any one attack.
const maxGrowth = 64 << 20

// besieged is a relay with an honest agent, whose TCP and UDP echo goes on all
// the while.
type besieged struct {
	*relay
	before int64 // its memory
}

func besiege(t *testing.T) *besieged {
	t.Helper()
	r := startRelay(t)
	tcp, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--tcp", "0:"+tcp, "--udp", "0:"+udp)
	honest, datagrams := dialTCP(t, a.public("tcp", tcp)), dialUDP(t, a.public("udp", udp))
	b := &besieged{relay: r}
	require.NoError(t, tryEcho(honest, "before"))
	b.before = r.resident()
	stop := make(chan struct{})
	failed := make(chan error, 2)
	var tasks sync.WaitGroup
	keep := func(what string, try func(i int) error) {
		tasks.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if err := try(i); err != nil {
					failed <- fmt.Errorf("%s of the honest: %w", what, err)
					return
				}
			}
		})
	}
	keep("TCP", func(i int) error { return tryEcho(honest, fmt.Sprint("honest ", i)) })
	keep("UDP", func(i int) error { return askOnce(datagrams, fmt.Sprint("honest ", i), "honest ") })
	t.Cleanup(func() {
		if t.Failed() {
			close(stop)
			tasks.Wait()
			return
		}
		require.NoError(t, tryEcho(dialTCP(t, honest.RemoteAddr().String()), "a new one"))
		close(stop)
		tasks.Wait()
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
		grown := r.resident() - b.before
		t.Logf("the relay grew by %.1f MB", float64(grown)/1e6)
		require.Less(t, grown, int64(maxGrowth))
		require.NotContains(t, r.said(), "panic")
		require.NotContains(t, r.said(), "level=ERROR")
	})
	return b
}

// dial logs in with the relay's key.
func (r *relay) dial(t *testing.T) *ssh.Client {
	t.Helper()
	config := sshwire.ClientConfig("test")
	config.User = "tunnel"
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(r.key.signer)}
	config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
	config.Timeout = patience
	client, err := ssh.Dial("tcp", r.address, config)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// subsystem starts the UDP subsystem.
func subsystem(t *testing.T, client *ssh.Client) ssh.Channel {
	t.Helper()
	channel, requests, err := client.OpenChannel("session", nil)
	require.NoError(t, err)
	go ssh.DiscardRequests(requests) // ends with the channel
	ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem}))
	require.NoError(t, err)
	require.True(t, ok)
	return channel
}

// lane starts the subsystem and says hello.
func lane(t *testing.T, client *ssh.Client) ssh.Channel {
	t.Helper()
	channel := subsystem(t, client)
	_, err := channel.Write(proto.Hello{Version: 1, Lowest: 1}.Append(nil))
	require.NoError(t, err)
	welcome, err := proto.ReadWelcome(channel)
	require.NoError(t, err)
	require.NoError(t, welcome.Err())
	return channel
}

// frame is a frame of SPEC.md, section 5.
func frame(command byte, stream uint32, payload []byte) []byte {
	b := []byte{2, command}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// The commands of frames.
const (
	frameSYN = 0
	framePSH = 2
)

// opening is the frames that open both streams of a lane.
func opening() []byte {
	return bytes.Join([][]byte{
		frame(frameSYN, 3, nil), frame(framePSH, 3, []byte{1}),
		frame(frameSYN, 5, nil), frame(framePSH, 5, []byte{2}),
	}, nil)
}

// requireEnd wants the relay to end a channel, and returns what it said before.
func requireEnd(t *testing.T, channel ssh.Channel) []byte {
	t.Helper()
	type result struct {
		said []byte
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		said, err := io.ReadAll(channel)
		ended <- result{said, err}
	}()
	select {
	case r := <-ended:
		require.NoError(t, r.err)
		return r.said
	case <-time.After(patience):
		require.Fail(t, "the relay didn't end the lane")
		return nil
	}
}

func TestHostileBytesBeforeLogin(t *testing.T) {
	b := besiege(t)
	for seed := range byte(20) {
		conn, err := net.Dial("tcp", b.address)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		if seed%2 == 0 {
			_, _ = io.WriteString(conn, "SSH-2.0-hostile\r\n")
		}
		_, _ = io.Copy(conn, io.LimitReader(noise(seed), 1<<uint(seed%17))) // it may hang up before the end
		_ = conn.(*net.TCPConn).CloseWrite()
		_, err = io.Copy(io.Discard, conn)
		if network, ok := err.(net.Error); ok {
			require.False(t, network.Timeout(), "the relay hangs up")
		}
		conn.Close()
	}
}

func TestHostileHellos(t *testing.T) {
	b := besiege(t)
	client := b.dial(t)
	future := proto.Hello{Version: 9, Lowest: 7}.Append(nil)
	for name, hello := range map[string]struct {
		bytes []byte
		code  proto.Code
	}{
		"noise":            {mustRead(t, noise(1), 4096), proto.CodeMalformed},
		"oversized length": {[]byte("funnel\r\n\x00\x01\xff\xff"), proto.CodeMalformed},
		"lowest above":     {proto.Hello{Version: 1, Lowest: 2}.Append(nil), proto.CodeMalformed},
		"only newer":       {future, proto.CodeVersion},
		"unknown session":  {proto.Hello{Version: 1, Lowest: 1, Session: proto.Token{1}}.Append(nil), proto.CodeUnknownSession},
	} {
		t.Run(name, func(t *testing.T) {
			channel := subsystem(t, client)
			_, err := channel.Write(hello.bytes)
			require.NoError(t, err)
			welcome, err := proto.ReadWelcome(bytes.NewReader(requireEnd(t, channel)))
			require.NoError(t, err)
			require.Equal(t, hello.code, welcome.Code)
			require.NotEmpty(t, welcome.Text)
		})
	}
	t.Run("truncated", func(t *testing.T) {
		channel := subsystem(t, client)
		_, err := channel.Write(future[:11])
		require.NoError(t, err)
		require.NoError(t, channel.CloseWrite())
		require.Empty(t, requireEnd(t, channel))
	})
	t.Run("newer that knows ours", func(t *testing.T) {
		channel := subsystem(t, client)
		_, err := channel.Write(proto.Hello{Version: 9, Lowest: 1}.Append(nil))
		require.NoError(t, err)
		welcome, err := proto.ReadWelcome(channel)
		require.NoError(t, err)
		require.NoError(t, welcome.Err())
		require.EqualValues(t, 1, welcome.Version)
		require.NoError(t, channel.Close())
	})
}

func mustRead(t *testing.T, r io.Reader, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return b
}

func TestHostileFrames(t *testing.T) {
	b := besiege(t)
	client := b.dial(t)
	var streams []byte
	for i := range uint32(10_000) {
		streams = append(streams, frame(frameSYN, 7+2*i, nil)...)
	}
	for name, sent := range map[string][]byte{
		"noise":                  mustRead(t, noise(3), 64<<10),
		"another version":        {1, 0, 0, 0, 3, 0, 0, 0},
		"unknown command":        frame(9, 3, nil),
		"SYN with a payload":     frame(frameSYN, 3, []byte("x")),
		"unknown kind":           append(frame(frameSYN, 3, nil), frame(framePSH, 3, []byte{77})...),
		"ten thousand streams":   append(opening(), streams...),
		"unknown message type":   append(opening(), frame(framePSH, 3, []byte{7, 0, 0})...),
		"oversized message":      append(opening(), frame(framePSH, 3, []byte{1, 0xff, 0xff})...),
		"message of a relay":     append(opening(), frame(framePSH, 3, proto.AppendMessage(nil, proto.Bound{Forward: 1, Port: 1}))...),
		"unknown record type":    append(opening(), frame(framePSH, 5, []byte{0xff, 0xff, 5, 0, 0})...),
		"oversized record":       append(opening(), frame(framePSH, 5, []byte{0xff, 0xff, 1, 0xff, 0xff})...),
		"datagram too large":     append(opening(), frame(framePSH, 5, []byte{0xff, 0xe4})...),
		"noise in the records":   append(opening(), frame(framePSH, 5, bytes.Repeat([]byte{0xff}, 4096))...),
		"noise in the messages":  append(opening(), frame(framePSH, 3, mustRead(t, noise(4), 4096))...),
		"window that is nowhere": append(opening(), frame(4, 5, []byte{1})...),
	} {
		t.Run(name, func(t *testing.T) {
			channel := lane(t, client)
			_, _ = channel.Write(sent) // the relay may end it before all is written
			requireEnd(t, channel)
		})
	}
}

func TestHostileTenThousandChannels(t *testing.T) {
	b := besiege(t)
	client := b.dial(t)
	refused := 0
	for range 10_000 {
		channel, requests, err := client.OpenChannel("session", nil)
		if err != nil {
			refused++
			continue
		}
		go ssh.DiscardRequests(requests)
		_, err = channel.SendRequest("subsystem", false, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem}))
		require.NoError(t, err)
	}
	require.Greater(t, refused, 9000)
}

// TestHostileLaneThatNeverReads floods the public port of an agent that stops
// reading: its datagrams are dropped, and nobody else's.
func TestHostileLaneThatNeverReads(t *testing.T) {
	b := besiege(t)
	channel := lane(t, b.dial(t))
	port := freePort(t)
	var number uint16
	_, err := fmt.Sscan(port, &number)
	require.NoError(t, err)
	_, err = channel.Write(append(opening(), frame(framePSH, 3, proto.AppendMessage(nil, proto.Bind{Forward: 1, Port: number}))...))
	require.NoError(t, err)
	b.expect(`binding opened.*network=udp.*:` + port)
	payload := make([]byte, 1200)
	for range 20 {
		conn := dialUDP(t, "127.0.0.1:"+port)
		for range 2000 { // 48 MB in all
			_, _ = conn.Write(payload) // what the kernel can't take is dropped, too
		}
	}
}
