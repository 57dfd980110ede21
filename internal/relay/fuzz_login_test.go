package relay

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// program is an input of a fuzz target, read as a list of things to do. At its
// end it is all zeroes.
type program struct{ rest []byte }

// most bounds what one input does.
const most = 64

func (p *program) byte() byte {
	if len(p.rest) == 0 {
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *program) bool() bool { return p.byte()&1 == 1 }

// bytes is as many bytes as two bytes before them say, or what there is.
func (p *program) bytes() []byte {
	n := min(int(p.byte())<<8|int(p.byte()), len(p.rest))
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

// text is one of the known texts, or one of the program's own.
func (p *program) text(known ...string) string {
	if n := int(p.byte()); n < len(known) {
		return known[n]
	}
	return string(p.bytes())
}

// script writes a program.
type script []byte

func (s script) byte(b byte) script { return append(s, b) }
func (s script) bytes(b []byte) script {
	return append(append(s, byte(len(b)>>8), byte(len(b))), b...)
}
func (s script) own(text string) script { return s.byte(0xff).bytes([]byte(text)) }

// What a stranger does before it is logged in.
const (
	strangerSays   = iota // bytes
	strangerGreets        // a version string
	strangerSends         // a packet with its frame
	strangerOps
)

// FuzzStranger says anything to a relay without ever logging in: no version
// string, no key exchange, or packets of one.
func FuzzStranger(f *testing.F) {
	a := newArena(f)
	hello := script{strangerGreets}.own("SSH-2.0-x")
	exchange := ssh.Marshal(keyExchangeInit{
		Exchanges: []string{"curve25519-sha256", "ext-info-c", "kex-strict-c-v00@openssh.com"}, HostKeys: []string{"ssh-ed25519"},
		CiphersOut: []string{"aes128-gcm@openssh.com"}, CiphersIn: []string{"aes128-gcm@openssh.com"},
		MACsOut: []string{"hmac-sha2-256"}, MACsIn: []string{"hmac-sha2-256"},
		CompressionsOut: []string{"none"}, CompressionsIn: []string{"none"},
	})
	public := ssh.Marshal(struct {
		Key []byte `sshtype:"30"`
	}{append(make([]byte, 31), 9)})
	f.Add([]byte(script{strangerSays}.bytes([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))))
	f.Add([]byte(hello))
	f.Add([]byte(hello.byte(strangerSays).bytes([]byte("\xff\xff\xff\xff\x00\x00\x00\x00"))))
	f.Add([]byte(hello.byte(strangerSends).bytes(exchange)))
	begun := hello.byte(strangerSends).bytes(exchange).byte(strangerSends).bytes(public)
	f.Add([]byte(begun))
	f.Add([]byte(begun.byte(strangerSends).bytes([]byte{21})))
	f.Add([]byte(begun.byte(strangerSends).bytes([]byte{21}).byte(strangerSays).bytes(make([]byte, 100))))
	f.Add([]byte(hello.byte(strangerSends).bytes([]byte{5, 0, 0, 0, 1, 'x'}).byte(strangerSends).bytes([]byte{2, 0, 0, 0, 0})))
	f.Add([]byte(hello.byte(strangerSends).bytes([]byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0})))

	f.Fuzz(func(t *testing.T, input []byte) {
		a.play(t, func() error { return a.stranger(&program{input}) })
	})
}

// keyExchangeInit is a KEXINIT (RFC 4253 §7.1).
type keyExchangeInit struct {
	Cookie                          [16]byte `sshtype:"20"`
	Exchanges, HostKeys             []string
	CiphersOut, CiphersIn           []string
	MACsOut, MACsIn                 []string
	CompressionsOut, CompressionsIn []string
	LanguagesOut, LanguagesIn       []string
	Follows                         bool
	Reserved                        uint32
}

// stranger plays a program on a connection of its own. The relay must hang up,
// as the end of what is said is the end of the login.
func (a *arena) stranger(p *program) error {
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(playTime)) // fails only if it is closed
	for n := 0; len(p.rest) > 0 && n < most; n++ {
		var said []byte
		switch p.byte() % strangerOps {
		case strangerSays:
			said = p.bytes()
		case strangerGreets:
			said = append([]byte(p.text("SSH-2.0-Go", "SSH-1.99-x", "SSH-2.0-OpenSSH_9.9")), "\r\n"...)
		case strangerSends:
			said = frame(p.bytes())
		}
		if _, err := conn.Write(said); err != nil {
			break // the relay has hung up
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite() // or has by now
	if _, err := io.Copy(io.Discard, conn); ignoreReset(err) != nil {
		return errors.New("the relay doesn't hang up:\n" + stacks())
	}
	return nil
}

// frame is a packet without encryption (RFC 4253 §6).
func frame(payload []byte) []byte {
	padding := 8 - (5+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	length := 1 + len(payload) + padding
	b := []byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length), byte(padding)}
	return append(append(b, payload...), make([]byte, padding)...)
}

// forgedKey is a key that isn't one, and whose signatures aren't.
type forgedKey struct {
	algorithm string
	blob      []byte
	signature ssh.Signature
}

func (k forgedKey) Type() string                        { return k.algorithm }
func (k forgedKey) Marshal() []byte                     { return k.blob }
func (k forgedKey) Verify([]byte, *ssh.Signature) error { return nil }
func (k forgedKey) PublicKey() ssh.PublicKey            { return k }
func (k forgedKey) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return &k.signature, nil
}

// FuzzLogin tries to log in with keys, certificates and signatures that are
// forged, and with what a relay doesn't know.
func FuzzLogin(f *testing.F) {
	a := newArena(f)
	keyed := func(user, algorithm string, blob []byte, signature ssh.Signature) []byte {
		return script{}.own(user).own(algorithm).bytes(blob).own(signature.Format).bytes(signature.Blob).bytes(signature.Rest).byte(0)
	}
	authorized := a.attacker.PublicKey()
	forged := ssh.Signature{Format: authorized.Type(), Blob: make([]byte, 64)}
	f.Add(keyed("root", authorized.Type(), authorized.Marshal(), forged))
	f.Add(keyed("root", "sk-ssh-ed25519@openssh.com", authorized.Marshal(), ssh.Signature{Format: "x", Blob: []byte("y"), Rest: []byte("z")}))
	f.Add(keyed("", newKey(f).PublicKey().Type(), newKey(f).PublicKey().Marshal(), forged))
	f.Add(append(keyed("", "ssh-rsa", []byte("no key"), forged), 1))
	certificate := &ssh.Certificate{
		Key: authorized, CertType: ssh.UserCert, KeyId: "x", ValidPrincipals: []string{"root"}, ValidBefore: ssh.CertTimeInfinity,
		Permissions: ssh.Permissions{CriticalOptions: map[string]string{"source-address": "127.0.0.1"}, Extensions: map[string]string{"permit-pty": ""}},
	}
	require.NoError(f, certificate.SignCert(constant{}, a.hostKey))
	f.Add(keyed("root", certificate.Type(), certificate.Marshal(), forged))

	f.Fuzz(func(t *testing.T, input []byte) {
		a.play(t, func() error { return a.forge(&program{input}) })
	})
}

// constant is a source of randomness that has none: seeds must not change.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// forge tries to log in as the program says.
func (a *arena) forge(p *program) error {
	config := a.clientConfig(nil)
	config.User = p.text("root")
	key := forgedKey{algorithm: p.text(ssh.KeyAlgoED25519, ssh.KeyAlgoRSA, ssh.KeyAlgoECDSA256, ssh.CertAlgoED25519v01), blob: p.bytes()}
	key.signature = ssh.Signature{Format: p.text(ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA256), Blob: p.bytes(), Rest: p.bytes()}
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(key)}
	if p.bool() {
		config.Auth = append(config.Auth, ssh.Password(string(p.bytes())), ssh.KeyboardInteractive(
			func(string, string, []string, []bool) ([]string, error) { return nil, nil }))
	}
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(playTime)) // fails only if it is closed
	_, _, _, err = ssh.NewClientConn(conn, a.address, config)
	if err == nil {
		return errors.New("the relay let a forged key in")
	}
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return errors.New("the relay doesn't answer a login:\n" + stacks())
	}
	return nil
}
