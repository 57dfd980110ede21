//go:build linux

package e2e

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/time/rate"

	"funnel/internal/sshwire"
	"funnel/proto"
)

// open is a guest that opens channels, forwards and streams without end, and
// logs in again when that ends its link.
func (x *attackers) open(ctx context.Context, client *ssh.Client, key ssh.Signer) {
	limiter := rate.NewLimiter(rate.Limit(x.Opens), 10)
	for ctx.Err() == nil {
		if client != nil {
			x.openOver(ctx, client, limiter)
			client.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
			client, _ = x.logIn(ctx, key)
		}
	}
	if client != nil {
		client.Close()
	}
}

// logIn logs the guest in.
func (x *attackers) logIn(ctx context.Context, key ssh.Signer) (*ssh.Client, error) {
	conn, release, err := x.dialFrom(ctx, netip.MustParseAddr("127.0.0.2"))
	if err != nil {
		return nil, err
	}
	config := sshwire.ClientConfig("test")
	config.User, config.Auth, config.HostKeyCallback = "guest", []ssh.AuthMethod{ssh.PublicKeys(key)}, ssh.InsecureIgnoreHostKey()
	link, channels, requests, err := ssh.NewClientConn(conn, x.Relay, config)
	if err != nil {
		release()
		return nil, err
	}
	return ssh.NewClient(link, channels, requests), nil
}

func (x *attackers) openOver(ctx context.Context, client *ssh.Client, limiter *rate.Limiter) {
	stream := uint32(7)
	var lane ssh.Channel
	for n := 0; limiter.Wait(ctx) == nil; n++ {
		x.toll.Opened.Add(1)
		var err error
		switch n % 4 {
		case 0, 1:
			_, _, err = client.OpenChannel(sshwire.ChannelSession, nil) // and never touched again
			if refused := (*ssh.OpenChannelError)(nil); errors.As(err, &refused) {
				err = nil
			}
		case 2:
			_, _, err = client.SendRequest(sshwire.RequestForward, true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
		case 3:
			if lane == nil {
				lane, err = guestLane(client)
			} else if _, werr := lane.Write(frame(frameSYN, stream, nil)); werr != nil {
				lane = nil // it was ended for that
			}
			stream += 2
		}
		if err != nil {
			return
		}
	}
}

// guestLane opens a lane with its streams, after which no more may come.
func guestLane(client *ssh.Client) (ssh.Channel, error) {
	channel, requests, err := client.OpenChannel(sshwire.ChannelSession, nil)
	if refused := (*ssh.OpenChannelError)(nil); errors.As(err, &refused) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	if _, err := channel.SendRequest(sshwire.RequestSubsystem, true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem})); err != nil {
		return nil, err
	}
	hello := proto.Hello{Version: proto.Version, Lowest: proto.LowestVersion, Name: "guest"}.Append(nil)
	if _, err := channel.Write(append(hello, opening()...)); err != nil {
		return nil, nil
	}
	go func() { _, _ = io.Copy(io.Discard, channel) }()
	return channel, nil
}
