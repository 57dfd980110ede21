package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"

	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

// dialChannel makes a channel over an SSH connection on conn, without any
// authentication.
func dialChannel(conn net.Conn) (ssh.Channel, error) {
	_ = tcpio.Tune(conn)
	link, channels, requests, err := ssh.NewClientConn(tcpio.NewConn(conn), "", &ssh.ClientConfig{
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	go func() {
		for channel := range channels {
			_ = channel.Reject(ssh.Prohibited, "")
		}
	}()
	channel, channelRequests, err := link.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(channelRequests)
	return channel, nil
}

// acceptChannel is dialChannel's other end.
func acceptChannel(conn net.Conn) (ssh.Channel, error) {
	_ = tcpio.Tune(conn)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	_, channels, requests, err := ssh.NewServerConn(tcpio.NewConn(conn), config)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	offered, ok := <-channels
	if !ok {
		return nil, net.ErrClosed
	}
	channel, channelRequests, err := offered.Accept()
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(channelRequests)
	return channel, nil
}
