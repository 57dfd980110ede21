package sshwire

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChannelTellsWhenItIsClosed(t *testing.T) {
	client, _, server, _ := linked(t)
	raw, requests, err := client.OpenChannel("session", nil)
	require.NoError(t, err)
	channel := NewChannel(raw, requests)
	select {
	case <-channel.Closed():
		require.Fail(t, "closed from the beginning")
	default:
	}
	require.NoError(t, server.Close())
	<-channel.Closed()
	_, err = channel.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Error(t, client.Wait())
}

func TestEndWithAndWithoutClose(t *testing.T) {
	client, _, _, _ := linked(t)
	for range 100 {
		raw, requests, err := client.OpenChannel("close", nil)
		require.NoError(t, err)
		channel := NewChannel(raw, requests)
		_, err = channel.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.True(t, isClosed(channel), "an end that is a close")
	}
	raw, requests, err := client.OpenChannel("end", nil)
	require.NoError(t, err)
	channel := NewChannel(raw, requests)
	for range 3 {
		_, err = channel.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.False(t, isClosed(channel), "an end that isn't")
	}
	require.NoError(t, channel.Close())
	<-channel.Closed()
}

func isClosed(c *Channel) bool {
	select {
	case <-c.Closed():
		return true
	default:
		return false
	}
}
