package tcpio

import (
	"crypto/ed25519"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// wrappers are the ways to run SSH over a TCP connection that are compared.
var wrappers = []struct {
	name string
	wrap func(net.Conn) net.Conn
}{
	{"bare", func(c net.Conn) net.Conn { return c }},
	{"inline", func(c net.Conn) net.Conn { return newConn(c, limits{read: readBuffer, gather: gatherLimit}) }},
	{"handed over", func(c net.Conn) net.Conn {
		return newConn(c, limits{read: readBuffer, gather: gatherLimit, quiet: time.Hour})
	}},
	{"chosen", func(c net.Conn) net.Conn { return NewConn(c) }},
}

// BenchmarkBulk measures one SSH channel that sends 32 KiB at a time.
func BenchmarkBulk(b *testing.B) {
	for _, wrapper := range wrappers {
		b.Run(wrapper.name, func(b *testing.B) {
			near, far := sshPair(b, wrapper.wrap)
			discarded := make(chan struct{})
			go func() {
				defer close(discarded)
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, far, make([]byte, 1<<18))
			}()
			data := make([]byte, 32<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := near.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(data))*8/float64(b.Elapsed().Nanoseconds()), "Gbit/s")
			require.NoError(b, near.CloseWrite())
			<-discarded
		})
	}
}

// BenchmarkSmall measures one SSH channel that sends 1200 bytes at a time.
func BenchmarkSmall(b *testing.B) {
	for _, wrapper := range wrappers {
		b.Run(wrapper.name, func(b *testing.B) {
			near, far := sshPair(b, wrapper.wrap)
			discarded := make(chan struct{})
			go func() {
				defer close(discarded)
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, far, make([]byte, 1<<18))
			}()
			data := make([]byte, 1200)
			for b.Loop() {
				if _, err := near.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			require.NoError(b, near.CloseWrite())
			<-discarded
		})
	}
}

// BenchmarkRoundTrip measures 64 bytes to and fro on an idle connection.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{64, 8192} {
		for _, wrapper := range wrappers {
			b.Run(wrapper.name+"/"+map[int]string{64: "64B", 8192: "8KiB"}[size], func(b *testing.B) {
				near, far := sshPair(b, wrapper.wrap)
				go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{far}, far, make([]byte, size)) }()
				data := make([]byte, size)
				for b.Loop() {
					if _, err := near.Write(data); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(near, data); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// sshPair returns the two ends of a channel of an SSH connection over loopback.
func sshPair(b *testing.B, wrap func(net.Conn) net.Conn) (near, far ssh.Channel) {
	b.Helper()
	client, server := tcpPair(b)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(b, err)
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(b, err)
	common := ssh.Config{Ciphers: []string{"aes128-gcm@openssh.com"}}
	config := &ssh.ServerConfig{Config: common, NoClientAuth: true}
	config.AddHostKey(signer)
	accepted := make(chan ssh.Channel, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		connection, channels, requests, err := ssh.NewServerConn(wrap(server), config)
		if err != nil {
			b.Error(err)
			return
		}
		go ssh.DiscardRequests(requests)
		for offered := range channels {
			channel, requests, err := offered.Accept()
			if err != nil {
				break
			}
			go ssh.DiscardRequests(requests)
			accepted <- channel
		}
		_ = connection.Wait()
	}()
	connection, channels, requests, err := ssh.NewClientConn(wrap(client), "loopback", &ssh.ClientConfig{
		Config: common, HostKeyCallback: ssh.FixedHostKey(signer.PublicKey()), Timeout: time.Minute,
	})
	require.NoError(b, err)
	go ssh.DiscardRequests(requests)
	go func() {
		for range channels {
		}
	}()
	b.Cleanup(func() {
		_ = connection.Close()
		<-done
	})
	near, requests, err = connection.OpenChannel("bulk", nil)
	require.NoError(b, err)
	go ssh.DiscardRequests(requests)
	return near, <-accepted
}
