package proto

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exampleToken is the token of SPEC.md's examples.
var exampleToken = Token{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}

// exampleAgent is the agent of the examples.
var exampleAgent = [AgentSize]byte{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf}

var helloVectors = map[string]Hello{
	"hello":      {Version: 1, Lowest: 1, Name: "home", Lane: 1, Agent: exampleAgent, Generation: 3},
	"hello-join": {Version: 1, Lowest: 1, Session: exampleToken, Name: "home", Lane: 2, Agent: exampleAgent, Generation: 3},
}

var welcomeVectors = map[string]Welcome{
	"welcome":         {Version: 1, Session: exampleToken},
	"welcome-refused": {Version: 1, Code: CodeUnknownSession, Text: "session is over."},
}

var messageVectors = map[string]Message{
	"bind":           Bind{Forward: 1, Port: 27015},
	"bind-localhost": Bind{Forward: 2, Host: "localhost"},
	"bound":          Bound{Forward: 2, Host: "127.0.0.1", Port: 49153},
	"refused":        Refused{Forward: 1, Code: CodeInUse, Text: "port is in use"},
	"unbind":         Unbind{Forward: 1},
	"unbound":        Unbound{Forward: 1},
	"close":          Close{Code: CodeClosing, Text: "agent stopped"},
}

var recordVectors = map[string]any{
	"datagram":       datagramRecord{7, 1, "ping"},
	"datagram-empty": datagramRecord{7, 2, ""},
	"flow-ipv4":      FlowHeader{Flow: 7, Forward: 1, Client: netip.MustParseAddrPort("203.0.113.9:50000")},
	"flow-ipv6":      FlowHeader{Flow: 8, Forward: 1, Client: netip.MustParseAddrPort("[2001:db8::9]:50000")},
	"gone":           goneRecord{7, GoneIdle},
	"mark":           markRecord(12345),
	"echo":           echoRecord(12345),
}

var frameVectors = map[string]frame{
	"frame-syn": {frameSYN, 3, ""},
	"frame-fin": {frameFIN, 3, ""},
	"frame-psh": {framePSH, 3, "hello"},
	"frame-nop": {frameNOP, 0, ""},
	"frame-upd": updateFrame(5, 1, 1572864),
}

// ignoreVectors hold what version 1 doesn't know and must ignore.
var ignoreVectors = map[string]func(t *testing.T, b []byte){
	"hello-newer": func(t *testing.T, b []byte) {
		h, err := ReadHello(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, Hello{Version: 3, Lowest: 1, Features: 1}, h)
		version, err := h.Choose()
		require.NoError(t, err)
		require.EqualValues(t, 1, version)
	},
	"ignore-message": func(t *testing.T, b []byte) {
		messages, err := readMessages(b)
		require.Equal(t, io.EOF, err)
		require.Equal(t, []Message{Unbind{Forward: 1}}, messages)
	},
	"ignore-record": func(t *testing.T, b []byte) {
		records, err := decodeAll(b)
		require.NoError(t, err)
		require.Equal(t, []any{markRecord(12345), recordVectors["datagram-empty"], recordVectors["flow-ipv4"]}, records)
	},
}

// badVectors have the part of the error that shows that they are malformed for
// the reason which SPEC.md gives.
var badVectors = map[string]string{
	"bad-hello-magic":    "not the start",
	"bad-hello-length":   "1025 bytes",
	"bad-hello-versions": "lowest version 2 above version 1",
	"bad-welcome-body":   "a field is missing",
	"bad-message-type":   "unknown type 7",
	"bad-message-length": "2049 bytes",
	"bad-message-fields": "cut short",
	"bad-record-first":   "65508 bytes",
	"bad-record-type":    "unknown type 5",
	"bad-record-length":  "1025 bytes",
	"bad-record-fields":  "cut short",
	"bad-record-family":  "family 5",
}

func TestVectorsOfHelloAndWelcome(t *testing.T) {
	for name, want := range helloVectors {
		b := specVector(t, name)
		require.Equal(t, b, want.Append(nil), name)
		got, err := ReadHello(bytes.NewReader(b))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for name, want := range welcomeVectors {
		b := specVector(t, name)
		require.Equal(t, b, want.Append(nil), name)
		got, err := ReadWelcome(bytes.NewReader(b))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
}

func TestVectorsOfMessages(t *testing.T) {
	for name, want := range messageVectors {
		b := specVector(t, name)
		require.Equal(t, b, AppendMessage(nil, want), name)
		got, err := readMessages(b)
		require.Equal(t, io.EOF, err, name)
		require.Equal(t, []Message{want}, got, name)
	}
}

func TestVectorsOfRecords(t *testing.T) {
	for name, want := range recordVectors {
		b := specVector(t, name)
		require.Equal(t, b, appendRecord(nil, want), name)
		got, err := decodeAll(b)
		require.NoError(t, err, name)
		require.Equal(t, []any{want}, got, name)
	}
}

func TestVectorsOfFrames(t *testing.T) {
	for name, want := range frameVectors {
		b := specVector(t, name)
		require.Equal(t, b, want.append(nil), name)
		require.Equal(t, []frame{want}, parseFrames(t, b), name)
	}
}

func TestVectorsToIgnore(t *testing.T) {
	for name, check := range ignoreVectors {
		t.Run(name, func(t *testing.T) { check(t, specVector(t, name)) })
	}
}

func TestVectorsToRefuse(t *testing.T) {
	for name, want := range badVectors {
		b := specVector(t, name)
		var err error
		switch {
		case strings.HasPrefix(name, "bad-hello"):
			_, err = ReadHello(bytes.NewReader(b))
		case strings.HasPrefix(name, "bad-welcome"):
			_, err = ReadWelcome(bytes.NewReader(b))
		case strings.HasPrefix(name, "bad-message"):
			_, err = ReadMessage(bytes.NewReader(b))
		case strings.HasPrefix(name, "bad-record"):
			var records []any
			records, err = decodeAll(b)
			require.Empty(t, records, name)
		}
		require.ErrorIs(t, err, ErrMalformed, name)
		require.ErrorContains(t, err, want, name)
	}
}

// TestEveryVectorIsTested is the one that fails when SPEC.md grows an example
// that no test above reads.
func TestEveryVectorIsTested(t *testing.T) {
	tested := map[string]bool{"conversation": true}
	addNames(tested, helloVectors)
	addNames(tested, welcomeVectors)
	addNames(tested, messageVectors)
	addNames(tested, recordVectors)
	addNames(tested, frameVectors)
	addNames(tested, ignoreVectors)
	addNames(tested, badVectors)
	for name := range specBlocks(t) {
		require.True(t, tested[name], "vector %q of SPEC.md is not tested", name)
	}
}

func addNames[V any](to map[string]bool, from map[string]V) {
	for name := range from {
		to[name] = true
	}
}

// TestEveryTypeHasVector asks the decoders what they know instead of a list
// that would have to be kept.
func TestEveryTypeHasVector(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range messageVectors {
		seen[fmt.Sprintf("%T", m)] = true
	}
	for _, r := range recordVectors {
		seen[fmt.Sprintf("%T", r)] = true
	}
	messages, records := knownMessages(), knownRecords()
	require.Len(t, messages, 6)
	require.Len(t, records, 4)
	for number, m := range messages {
		require.True(t, seen[fmt.Sprintf("%T", m)], "message type %d has no vector", number)
	}
	for number, r := range records {
		require.True(t, seen[fmt.Sprintf("%T", r)], "record type %d has no vector", number)
	}
}

// knownMessages are the messages the decoder knows, by type.
func knownMessages() map[int]Message {
	known := make(map[int]Message)
	for number := range 256 {
		if m, err := parseMessage(Type(number), make([]byte, 64)); err == nil && m != nil {
			known[number] = m
		}
	}
	return known
}

// knownRecords are the records other than datagrams the decoder knows, by type.
func knownRecords() map[int]any {
	known := make(map[int]any)
	body := bytes.Repeat([]byte{4}, 64) // 4 is also an address family
	for number := range 256 {
		b := append([]byte{0xff, 0xff, byte(number), 0, byte(len(body))}, body...)
		if records, err := decodeAll(b); err == nil && len(records) == 1 {
			known[number] = records[0]
		}
	}
	return known
}

func TestSpecTables(t *testing.T) {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	limits := map[string]int{"datagram": MaxDatagram, "hello or welcome body": MaxHello, "control body": MaxControl,
		"record body": MaxExtension, "name": MaxName, "host": MaxHost, "text": MaxText}
	for _, row := range specTable(t, "| limit | value | where |") {
		require.Equal(t, limits[row[0]], number(row[1]), row[0])
		delete(limits, row[0])
	}
	require.Empty(t, limits, "limits that SPEC.md doesn't tell")

	codes := specTable(t, "| code | name | meaning |")
	require.Len(t, codes, len(codeNames))
	for _, row := range codes {
		require.Equal(t, codeNames[Code(number(row[0]))], row[1])
	}
	for _, row := range specTable(t, "| type | name | direction | body |") {
		name := strings.TrimPrefix(fmt.Sprintf("%T", knownMessages()[number(row[0])]), "proto.")
		require.Equal(t, strings.ToLower(name), row[1])
	}
	reasons := map[string]GoneReason{"idle": GoneIdle, "evicted": GoneEvicted, "unknown": GoneUnknown, "unbound": GoneUnbound}
	for _, row := range specTable(t, "| reason | name | meaning |") {
		require.EqualValues(t, reasons[row[1]], number(row[0]), row[1])
		delete(reasons, row[1])
	}
	require.Empty(t, reasons, "reasons that SPEC.md doesn't tell")
	kinds := map[string]Kind{"control": KindControl, "records": KindRecords}
	for _, row := range specTable(t, "| kind | stream | contents |") {
		require.EqualValues(t, kinds[row[1]], number(row[0]), row[1])
	}
	require.Contains(t, specText(t), `"`+Subsystem+`"`)
}
