package sshwire

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// fuzz checks that what is accepted is just what its encoding is, and that
// nothing panics.
func fuzz[M any](f *testing.F, parse func([]byte) (M, error), valid func(M) bool, seeds ...any) {
	require.NotEmpty(f, seeds)
	for _, seed := range seeds {
		wire := ssh.Marshal(seed)
		f.Add(wire)
		f.Add(wire[:len(wire)-1])
		f.Add(append(wire, 0))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Equal(t, b, ssh.Marshal(m))
		require.True(t, valid(m), "%+v", m)
	})
}

func FuzzForwardRequest(f *testing.F) {
	fuzz(f, ParseForwardRequest, func(m ForwardRequest) bool {
		return m.Port <= 65535 && len(m.Address) <= maxText
	}, ForwardRequest{"", 0}, ForwardRequest{"0.0.0.0", 25565}, ForwardRequest{"a", 65536})
}

func FuzzForwardReply(f *testing.F) {
	fuzz(f, ParseForwardReply, func(m ForwardReply) bool {
		return m.Port > 0 && m.Port <= 65535
	}, ForwardReply{0}, ForwardReply{40000}, ForwardReply{1 << 20})
}

func FuzzForwarded(f *testing.F) {
	fuzz(f, ParseForwarded, func(m Forwarded) bool {
		return m.Port > 0 && m.Port <= 65535 && m.OriginPort <= 65535
	}, Forwarded{"", 80, "192.0.2.1", 4711}, Forwarded{"::", 1, "2001:db8::1", 65536})
}

func FuzzDirect(f *testing.F) {
	fuzz(f, ParseDirect, func(m Direct) bool {
		return m.Address != "" && m.Port > 0 && m.Port <= 65535 && m.OriginPort <= 65535
	}, Direct{"localhost", 80, "127.0.0.1", 4711}, Direct{"", 1, "", 1})
}

func FuzzSubsystem(f *testing.F) {
	fuzz(f, ParseSubsystem, func(m Subsystem) bool {
		return len(m.Name) <= maxText
	}, Subsystem{"sftp"}, Subsystem{"udp@funnel.internal"})
}

func FuzzTestPorts(f *testing.F) {
	token := "0123456789abcdef"
	fuzz(f, ParseTestPorts, func(m TestPorts) bool {
		return m.TCPPort <= 65535 && m.UDPPort <= 65535 && m.TCPPort+m.UDPPort > 0 &&
			len(m.Token) == TestTokenSize && len(m.Note) <= maxReason
	}, TestPorts{40000, 40001, 120, token, ""}, TestPorts{0, 40001, 120, token, "no TCP"}, TestPorts{1 << 20, 1, 1, token, ""},
		TestPorts{0, 0, 1, token, ""}, TestPorts{1, 1, 1, token[1:], ""})
}

func FuzzResumable(f *testing.F) {
	fuzz(f, ParseResumable, func(m Resumable) bool {
		return m.Port > 0 && m.Port <= 65535 && m.OriginPort <= 65535 && m.Received <= 1<<63 && (m.Resumed || m.Received == 0)
	}, Resumable{"", 80, "192.0.2.1", 4711, 1, 0, false}, Resumable{"::", 1, "2001:db8::1", 65536, 1 << 63, 1 << 63, true},
		Resumable{"", 1, "", 1, 0, 1, false}, oddlyResumable{"", 1, "", 1, 1, 1, 2})
}

func FuzzAck(f *testing.F) {
	fuzz(f, ParseAck, func(m Ack) bool { return m.Position <= 1<<63 }, Ack{0}, Ack{1 << 63}, Ack{1<<63 + 1})
}

func FuzzEnd(f *testing.F) {
	fuzz(f, ParseEnd, func(m End) bool { return m.Total < 1<<63 }, End{0}, End{1<<63 - 1}, End{1 << 63})
}

func FuzzWindowAsk(f *testing.F) {
	fuzz(f, ParseWindowAsk, func(m WindowAsk) bool { return m.Position < 1<<63 }, WindowAsk{0}, WindowAsk{1<<63 - 1}, WindowAsk{1 << 63})
}

func FuzzWindowGrant(f *testing.F) {
	fuzz(f, ParseWindowGrant, func(m WindowGrant) bool { return m.Window >= MinWindow },
		WindowGrant{MinWindow}, WindowGrant{1<<32 - 1}, WindowGrant{MinWindow - 1})
}

func FuzzWindowBegin(f *testing.F) {
	fuzz(f, ParseWindowBegin, func(m WindowBegin) bool { return m.Position < 1<<63 }, WindowBegin{0}, WindowBegin{1<<63 - 1}, WindowBegin{1 << 63})
}

func FuzzData(f *testing.F) {
	for _, n := range []int{0, 1, 100, MaxData, MaxData + 1} {
		f.Add(make([]byte, n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := ParseData(b)
		require.Equal(t, len(b) > 0 && len(b) <= MaxData, err == nil)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Equal(t, b, data)
	})
}

func FuzzAnnounce(f *testing.F) {
	id := "0123456789abcdef"
	fuzz(f, ParseAnnounce, func(m Announce) bool {
		return len(m.Agent) == IDSize && len(m.Instance) == IDSize
	}, Announce{id, 7, id, 60}, Announce{id[1:], 7, id, 60}, Announce{id, 0, id + "g", 0}, Announce{"", 1, "", 0})
}

func FuzzAnnounced(f *testing.F) {
	fuzz(f, ParseAnnounced, func(Announced) bool { return true },
		Announced{true, 60}, Announced{false, 0}, oddlyAnnounced{2, 60})
}

func FuzzRefusal(f *testing.F) {
	seeds := []Refusal{{Final: true, Reason: "no"}, {Reason: "port 1 of the relay is in use"}, {Outlived: true, Reason: "x"}, {}}
	for _, seed := range seeds {
		f.Add(seed.Append(nil))
	}
	f.Add([]byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := ParseRefusal(b)
		require.Equal(t, len(b) > 0, ok)
		require.True(t, utf8.ValidString(r.Reason))
		require.True(t, r.Final || !r.Outlived)
		require.LessOrEqual(t, len(r.Reason), maxReason)
	})
}
