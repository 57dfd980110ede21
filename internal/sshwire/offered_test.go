package sshwire

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// TestOfferedIsDocumented compares docs/ALGORITHMS.md with what a relay and an
// agent say on the wire (SSH_MSG_KEXINIT, RFC 4253 §7.1), on a processor that
// has instructions for AES.
func TestOfferedIsDocumented(t *testing.T) {
	server := ServerConfig("1")
	server.Config = algorithms(true)
	server.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, io.EOF }
	_, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for _, key := range []any{ed25519Key, ecdsaKey, rsaKey} {
		signer, err := ssh.NewSignerFromKey(key)
		require.NoError(t, err)
		signer, err = HostKey(signer)
		require.NoError(t, err)
		server.AddHostKey(signer)
	}
	relay := offered(t, func(conn net.Conn) { _, _, _, _ = ssh.NewServerConn(conn, server) })
	require.Equal(t, documented(t, "Key exchange"), without(relay[0], "ext-info-s"))
	require.ElementsMatch(t, documented(t, "Host keys"), relay[1])
	for direction := range 2 {
		require.Equal(t, documented(t, "Ciphers"), relay[2+direction])
		require.Equal(t, documented(t, "MACs"), relay[4+direction])
		require.Equal(t, []string{"none"}, relay[6+direction], "compression")
	}
	require.Equal(t, documented(t, "Keys of users"), server.PublicKeyAuthAlgorithms)

	client := ClientConfig("1")
	client.Config = algorithms(true)
	client.HostKeyCallback = ssh.FixedHostKey(nil)
	agent := offered(t, func(conn net.Conn) { _, _, _, _ = ssh.NewClientConn(conn, "", client) })
	require.Equal(t, strings.ReplaceAll(strings.Join(documented(t, "Key exchange"), " "), "strict-s", "strict-c"),
		strings.Join(without(agent[0], "ext-info-c"), " "))
	require.Equal(t, documented(t, "Ciphers"), agent[2])
	require.Equal(t, documented(t, "MACs"), agent[4])
}

// offered is the lists of algorithms in the first packet of one end.
func offered(t *testing.T, speak func(net.Conn)) [][]string {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		speak(theirs)
	}()
	defer func() {
		ours.Close()
		theirs.Close()
		<-done
	}()
	require.NoError(t, ours.SetDeadline(time.Now().Add(time.Minute)))
	go io.WriteString(ours, "SSH-2.0-test\r\n") // a pipe holds nothing
	r := bufio.NewReader(ours)
	_, err := r.ReadString('\n')
	require.NoError(t, err)
	header := make([]byte, 5+1+16) // length, padding; type, cookie
	_, err = io.ReadFull(r, header)
	require.NoError(t, err)
	const kexInit = 20
	require.EqualValues(t, kexInit, header[5])
	lists := make([][]string, 10)
	for i := range lists {
		var length [4]byte
		_, err = io.ReadFull(r, length[:])
		require.NoError(t, err)
		text := make([]byte, binary.BigEndian.Uint32(length[:]))
		_, err = io.ReadFull(r, text)
		require.NoError(t, err)
		lists[i] = strings.Split(string(text), ",")
	}
	return lists
}

// without is a list without what is no algorithm.
func without(list []string, marker string) []string {
	var rest []string
	for _, name := range list {
		if name != marker {
			rest = append(rest, name)
		}
	}
	return rest
}

// documented is what a section of docs/ALGORITHMS.md lists.
func documented(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/ALGORITHMS.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	require.True(t, found, section)
	rest, _, _ = strings.Cut(rest, "\n## ")
	var names []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` ").FindAllStringSubmatch(rest, -1) {
		names = append(names, match[1])
	}
	require.NotEmpty(t, names, section)
	return names
}
