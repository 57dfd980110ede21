package resume

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// spare is what the conns of the benchmarks share, as those of a program.
var spare = NewSpare(DefaultSpare)

// variants are what is compared: a conn as RFC 4254 has it, and a resumable one.
var variants = []struct {
	name string
	join func(local *net.TCPConn, channel ssh.Channel, requests <-chan *ssh.Request) error
}{
	{"standard", func(local *net.TCPConn, channel ssh.Channel, requests <-chan *ssh.Request) error {
		_, err := pipe.Join(context.Background(), local, sshwire.NewChannel(channel, requests))
		return err
	}},
	{"resumable", func(local *net.TCPConn, channel ssh.Channel, requests <-chan *ssh.Request) error {
		conn := New(local, Options{Spare: spare})
		conn.Open(channel, requests)
		_, err := conn.Run(context.Background())
		return err
	}},
}

// carrier is a link as the programs make it, over which conns go.
type carrier struct {
	b      *testing.B
	relay  ssh.Conn
	offers <-chan ssh.NewChannel
}

func newCarrier(b *testing.B) *carrier {
	server, client := tcp(b)
	require.NoError(b, tcpio.Tune(server))
	require.NoError(b, tcpio.Tune(client))
	serverConfig := sshwire.ServerConfig("test")
	serverConfig.NoClientAuth = true
	serverConfig.AddHostKey(hostKey())
	clientConfig := sshwire.ClientConfig("test")
	clientConfig.HostKeyCallback = ssh.FixedHostKey(hostKey().PublicKey())
	c := &carrier{b: b}
	var logins, tasks sync.WaitGroup
	logins.Go(func() {
		conn, channels, requests, err := ssh.NewServerConn(tcpio.NewConn(server), serverConfig)
		if err != nil {
			b.Error(err)
			return
		}
		tasks.Go(func() { ssh.DiscardRequests(requests) })
		tasks.Go(func() {
			for range channels {
			}
		})
		c.relay = conn
	})
	agent, offers, requests, err := ssh.NewClientConn(tcpio.NewConn(client), "relay", clientConfig)
	require.NoError(b, err)
	logins.Wait()
	tasks.Go(func() { ssh.DiscardRequests(requests) })
	c.offers = offers
	b.Cleanup(func() {
		agent.Close()
		c.relay.Close()
		tasks.Wait()
	})
	return c
}

// conn carries one more connection, and returns its far ends. They are to be
// closed before wait is called.
func (c *carrier) conn(variant int) (client, target *net.TCPConn, wait func()) {
	client, relayLocal := tcp(c.b)
	target, agentLocal := tcp(c.b)
	for _, conn := range []*net.TCPConn{client, relayLocal, target, agentLocal} {
		require.NoError(c.b, conn.SetNoDelay(true))
	}
	join := variants[variant].join
	var tasks sync.WaitGroup
	ready := make(chan struct{})
	tasks.Go(func() {
		channel, requests, err := (<-c.offers).Accept()
		close(ready)
		if err == nil {
			_ = join(agentLocal, channel, requests)
		}
	})
	channel, requests, err := c.relay.OpenChannel(sshwire.ChannelResumable, nil)
	require.NoError(c.b, err)
	tasks.Go(func() { _ = join(relayLocal, channel, requests) })
	<-ready
	return client, target, func() {
		client.Close()
		target.Close()
		tasks.Wait()
	}
}

func BenchmarkBulk(b *testing.B) {
	for i, variant := range variants {
		b.Run(variant.name, func(b *testing.B) {
			client, target, wait := newCarrier(b).conn(i)
			defer wait()
			const piece = 256 << 10
			b.SetBytes(piece)
			b.ReportAllocs()
			var reader sync.WaitGroup
			b.ResetTimer()
			reader.Go(func() {
				if n, err := io.CopyN(io.Discard, client, int64(b.N)*piece); err != nil {
					b.Errorf("%d bytes: %v", n, err)
				}
			})
			data := make([]byte, piece)
			for range b.N {
				if _, err := target.Write(data); err != nil {
					b.Error(err)
					break
				}
			}
			reader.Wait()
			b.StopTimer()
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for i, variant := range variants {
		b.Run(variant.name, func(b *testing.B) {
			client, target, wait := newCarrier(b).conn(i)
			defer wait()
			b.ReportAllocs()
			var echo sync.WaitGroup
			echo.Go(func() { _, _ = io.Copy(struct{ io.Writer }{target}, struct{ io.Reader }{target}) })
			message := make([]byte, 64)
			b.ResetTimer()
			for range b.N {
				_, err := client.Write(message)
				require.NoError(b, err)
				_, err = io.ReadFull(client, message)
				require.NoError(b, err)
			}
			b.StopTimer()
			require.NoError(b, client.CloseWrite())
			echo.Wait()
		})
	}
}

// BenchmarkIdle tells what a conn takes at both ends that has said something and
// is quiet now: the heap and the stacks, x/crypto/ssh's channel included.
func BenchmarkIdle(b *testing.B) {
	for i, variant := range variants {
		b.Run(variant.name, func(b *testing.B) {
			const conns = 200
			carrier := newCarrier(b)
			for range b.N {
				before := inUse()
				var waits []func()
				for range conns {
					client, target, wait := carrier.conn(i)
					waits = append(waits, wait)
					_, err := client.Write([]byte("hello"))
					require.NoError(b, err)
					_, err = io.ReadFull(target, make([]byte, 5))
					require.NoError(b, err)
				}
				b.ReportMetric(float64(inUse()-before)/conns, "bytes/conn")
				for _, wait := range waits {
					wait()
				}
			}
		})
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
