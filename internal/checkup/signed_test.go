package checkup

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignedDatagrams(t *testing.T) {
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer peer.Close()
	conn, err := net.Dial("udp", peer.LocalAddr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	s := newSigned(conn, []byte("token"))
	b := make([]byte, 100)
	for _, text := range []string{"one", "a longer one", ""} {
		n, err := s.Write([]byte(text))
		require.NoError(t, err)
		require.Equal(t, len(text), n)
		n, from, err := peer.ReadFrom(b)
		require.NoError(t, err)
		require.Equal(t, "token"+text, string(b[:n]))
		_, err = peer.WriteTo(b[:n], from)
		require.NoError(t, err)
		n, err = s.Read(b)
		require.NoError(t, err)
		require.Equal(t, text, string(b[:n]))
	}
	for _, strange := range []string{"", "tok", "nekot and more"} {
		_, err = peer.WriteTo([]byte(strange), conn.LocalAddr())
		require.NoError(t, err)
		n, err := s.Read(b)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}
