package sshwire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func unhex(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	return b
}

func TestMessagesOnTheWire(t *testing.T) {
	for name, test := range map[string]struct {
		wire    string
		message any
		parse   func([]byte) (any, error)
	}{
		"forward": {"00000009 6c6f63616c686f7374 00000050", ForwardRequest{"localhost", 80},
			func(b []byte) (any, error) { return ParseForwardRequest(b) }},
		"forward of any address and port": {"00000000 00000000", ForwardRequest{"", 0},
			func(b []byte) (any, error) { return ParseForwardRequest(b) }},
		"reply": {"0000ffff", ForwardReply{65535},
			func(b []byte) (any, error) { return ParseForwardReply(b) }},
		"forwarded": {"00000001 2a 00001f90 00000003 3a3a31 0000d431", Forwarded{"*", 8080, "::1", 54321},
			func(b []byte) (any, error) { return ParseForwarded(b) }},
		"direct": {"00000007 612e7465737431 00000016 00000000 00000000", Direct{"a.test1", 22, "", 0},
			func(b []byte) (any, error) { return ParseDirect(b) }},
		"test ports": {"00009c40 00000000 00000078 00000010 30313233343536373839616263646566 00000002 6e6f",
			TestPorts{40000, 0, 120, "0123456789abcdef", "no"},
			func(b []byte) (any, error) { return ParseTestPorts(b) }},
		"resumable, new": {"00000000 00000050 00000003 3a3a31 0000d431 0000000000000007 0000000000000000 00",
			Resumable{"", 80, "::1", 54321, 7, 0, false},
			func(b []byte) (any, error) { return ParseResumable(b) }},
		"resumable, resumed": {"00000001 2a 00001f90 00000003 3a3a31 0000d431 0000000000000007 0000000100000001 01",
			Resumable{"*", 8080, "::1", 54321, 7, 1<<32 + 1, true},
			func(b []byte) (any, error) { return ParseResumable(b) }},
		"announce": {"00000010 30313233343536373839616263646566 0000000100000002 00000010 66656463626139383736353433323130 0000003c",
			Announce{"0123456789abcdef", 1<<32 + 2, "fedcba9876543210", 60},
			func(b []byte) (any, error) { return ParseAnnounce(b) }},
		"announced, known":   {"01 0000003c", Announced{true, 60}, func(b []byte) (any, error) { return ParseAnnounced(b) }},
		"announced, unknown": {"00 00000000", Announced{}, func(b []byte) (any, error) { return ParseAnnounced(b) }},
		"ack":                {"8000000000000000", Ack{1 << 63}, func(b []byte) (any, error) { return ParseAck(b) }},
		"end":                {"0000000000010000", End{65536}, func(b []byte) (any, error) { return ParseEnd(b) }},
		"subsystem": {"00000004 73667470", Subsystem{"sftp"},
			func(b []byte) (any, error) { return ParseSubsystem(b) }},
	} {
		t.Run(name, func(t *testing.T) {
			wire := unhex(t, test.wire)
			require.Equal(t, wire, ssh.Marshal(test.message))
			parsed, err := test.parse(wire)
			require.NoError(t, err)
			require.Equal(t, test.message, parsed)
			for i := range wire {
				_, err := test.parse(wire[:i])
				require.ErrorIs(t, err, ErrMalformed, "cut to %d bytes", i)
			}
			_, err = test.parse(append(wire, 0))
			require.ErrorIs(t, err, ErrMalformed, "followed by a byte")
		})
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", maxText+1)
	for name, test := range map[string]struct {
		message any
		parse   func([]byte) error
	}{
		"forward, port":           {ForwardRequest{"", 65536}, forwardError},
		"forward, huge port":      {ForwardRequest{"", 1 << 31}, forwardError},
		"forward, long address":   {ForwardRequest{long, 1}, forwardError},
		"forward, control":        {ForwardRequest{"a\x00b", 1}, forwardError},
		"forward, newline":        {ForwardRequest{"a\nb", 1}, forwardError},
		"reply, port 0":           {ForwardReply{0}, replyError},
		"reply, port":             {ForwardReply{65536}, replyError},
		"forwarded, port 0":       {Forwarded{"", 0, "", 1}, forwardedError},
		"forwarded, port":         {Forwarded{"", 65536, "", 1}, forwardedError},
		"forwarded, origin port":  {Forwarded{"", 1, "", 65536}, forwardedError},
		"forwarded, long origin":  {Forwarded{"", 1, long, 1}, forwardedError},
		"forwarded, long address": {Forwarded{long, 1, "", 1}, forwardedError},
		"direct, no address":      {Direct{"", 1, "", 1}, directError},
		"direct, port 0":          {Direct{"a", 0, "", 1}, directError},
		"direct, control":         {Direct{"a\x1b[2J", 1, "", 1}, directError},
		"subsystem, long":         {Subsystem{long}, subsystemError},
		"resumable, port 0":       {Resumable{"", 0, "", 1, 1, 0, false}, resumableError},
		"resumable, origin port":  {Resumable{"", 1, "", 65536, 1, 0, false}, resumableError},
		"resumable, long address": {Resumable{long, 1, "", 1, 1, 0, false}, resumableError},
		"resumable, new yet old":  {Resumable{"", 1, "", 1, 1, 1, false}, resumableError},
		"resumable, position":     {Resumable{"", 1, "", 1, 1, 1<<63 + 1, true}, resumableError},
		"resumable, boolean":      {oddlyResumable{"", 1, "", 1, 1, 0, 2}, resumableError},
		"ack, position":           {Ack{1<<63 + 1}, ackError},
		"end, total":              {End{1 << 63}, endError},
		"reset, payload":          {End{0}, ParseReset},
		"announce, agent":         {Announce{"short", 1, "0123456789abcdef", 60}, announceError},
		"announce, instance":      {Announce{"0123456789abcdef", 1, "0123456789abcdefg", 60}, announceError},
		"announce, nobody":        {Announce{}, announceError},
		"announced, boolean":      {oddlyAnnounced{2, 60}, announcedError},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, test.parse(ssh.Marshal(test.message)), ErrMalformed)
		})
	}
}

func forwardError(b []byte) error   { _, err := ParseForwardRequest(b); return err }
func replyError(b []byte) error     { _, err := ParseForwardReply(b); return err }
func forwardedError(b []byte) error { _, err := ParseForwarded(b); return err }
func directError(b []byte) error    { _, err := ParseDirect(b); return err }
func subsystemError(b []byte) error { _, err := ParseSubsystem(b); return err }

func resumableError(b []byte) error { _, err := ParseResumable(b); return err }
func announceError(b []byte) error  { _, err := ParseAnnounce(b); return err }
func announcedError(b []byte) error { _, err := ParseAnnounced(b); return err }
func ackError(b []byte) error       { _, err := ParseAck(b); return err }
func endError(b []byte) error       { _, err := ParseEnd(b); return err }

// oddlyResumable is a Resumable whose boolean may be anything.
type oddlyResumable struct {
	Address       string
	Port          uint32
	OriginAddress string
	OriginPort    uint32
	Conn          uint64
	Received      uint64
	Resumed       byte
}

// oddlyAnnounced is an Announced whose boolean may be anything.
type oddlyAnnounced struct {
	Known byte
	Grace uint32
}

func TestResetHasNoPayload(t *testing.T) {
	require.NoError(t, ParseReset(nil))
	require.NoError(t, ParseReset([]byte{}))
}

func TestResumableIsForwarded(t *testing.T) {
	require.Equal(t, Forwarded{"*", 80, "::1", 4711}, Resumable{"*", 80, "::1", 4711, 1, 2, true}.Forwarded())
}

func TestRefusal(t *testing.T) {
	for _, r := range []Refusal{
		{Final: true, Reason: "tcp port 22 is not permitted to this key"},
		{Final: false, Reason: "port 25565 of the relay is in use"},
		{Final: true},
	} {
		parsed, ok := ParseRefusal(r.Append(nil))
		require.True(t, ok)
		require.Equal(t, r, parsed)
	}
	_, ok := ParseRefusal(nil)
	require.False(t, ok)

	long := Refusal{Final: true, Reason: strings.Repeat("ü", maxReason)}
	wire := long.Append([]byte("x"))
	require.LessOrEqual(t, len(wire), 1+len(forbidden)+maxReason)
	parsed, ok := ParseRefusal(wire[1:])
	require.True(t, ok)
	require.Equal(t, strings.Repeat("ü", maxReason/2), parsed.Reason)
}
