package proto

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// frame is a smux frame, as far as SPEC.md's examples need one.
type frame struct {
	command byte
	stream  uint32
	payload string
}

const (
	frameSYN = 0
	frameFIN = 1
	framePSH = 2
	frameNOP = 3
	frameUPD = 4
)

func updateFrame(stream, consumed, window uint32) frame {
	b := binary.LittleEndian.AppendUint32(nil, consumed)
	return frame{frameUPD, stream, string(binary.LittleEndian.AppendUint32(b, window))}
}

func dataFrame(stream uint32, payload []byte) frame {
	return frame{framePSH, stream, string(payload)}
}

func (f frame) append(b []byte) []byte {
	b = append(b, 2, f.command)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(f.payload)))
	b = binary.LittleEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

func appendFrames(b []byte, frames []frame) []byte {
	for _, f := range frames {
		b = f.append(b)
	}
	return b
}

func parseFrames(t *testing.T, b []byte) []frame {
	t.Helper()
	var frames []frame
	for len(b) > 0 {
		require.GreaterOrEqual(t, len(b), 8)
		require.EqualValues(t, 2, b[0], "version")
		n := 8 + int(binary.LittleEndian.Uint16(b[2:]))
		require.GreaterOrEqual(t, len(b), n)
		frames = append(frames, frame{b[1], binary.LittleEndian.Uint32(b[4:]), string(b[8:n])})
		b = b[n:]
	}
	return frames
}

// streamData is what the PSH frames of one stream carry.
func streamData(frames []frame, stream uint32) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		if f.command == framePSH && f.stream == stream {
			b.WriteString(f.payload)
		}
	}
	return b.Bytes()
}

// The streams of the conversation.
const (
	exampleControl = 3
	exampleRecords = 5
)

// conversationMessages and conversationRecords are what SPEC.md's conversation
// says, by direction.
var (
	fromAgentMessages = []Message{Bind{Forward: 1, Port: 27015}, Unbind{Forward: 1}, Close{CodeClosing, "agent stopped"}}
	fromRelayMessages = []Message{Bound{Forward: 1, Port: 27015}, Unbound{Forward: 1}}

	fromAgentRecords = []any{datagramRecord{7, 1, "pong"}, datagramRecord{7, 2, ""}, markRecord(12345)}
	fromRelayRecords = []any{
		FlowHeader{Flow: 7, Forward: 1, Client: netip.MustParseAddrPort("203.0.113.9:50000")},
		datagramRecord{7, 1, "ping"}, echoRecord(12345), goneRecord{7, GoneUnbound},
	}
)

// conversation is the two directions of SPEC.md's conversation.
func conversation(t *testing.T) (fromAgent, fromRelay []byte) {
	t.Helper()
	var agent, relay strings.Builder
	for line := range strings.Lines(specBlocks(t)["conversation"]) {
		switch {
		case strings.HasPrefix(line, ">"):
			agent.WriteString(line[1:])
		case strings.HasPrefix(line, "<"):
			relay.WriteString(line[1:])
		default:
			code, _, _ := strings.Cut(line, "#")
			require.Empty(t, strings.TrimSpace(code), "a line of no direction")
		}
	}
	return parseHex(t, agent.String()), parseHex(t, relay.String())
}

func TestConversationEncodes(t *testing.T) {
	fromAgent, fromRelay := conversation(t)
	m, r := fromAgentMessages, fromAgentRecords
	require.Equal(t, fromAgent, appendFrames(helloVectors["hello"].Append(nil), []frame{
		{frameSYN, exampleControl, ""},
		dataFrame(exampleControl, []byte{byte(KindControl)}),
		{frameSYN, exampleRecords, ""},
		dataFrame(exampleRecords, []byte{byte(KindRecords)}),
		updateFrame(exampleRecords, 0, 1536<<10),
		dataFrame(exampleControl, AppendMessage(nil, m[0])),
		updateFrame(exampleControl, 10, 64<<10),
		dataFrame(exampleRecords, appendRecords(nil, r)),
		dataFrame(exampleControl, AppendMessage(nil, m[1])),
		dataFrame(exampleControl, AppendMessage(nil, m[2])),
	}))
	m, r = fromRelayMessages, fromRelayRecords
	require.Equal(t, fromRelay, appendFrames(Welcome{Version: 1, Session: exampleToken}.Append(nil), []frame{
		updateFrame(exampleControl, 1, 64<<10),
		updateFrame(exampleRecords, 1, 1536<<10),
		dataFrame(exampleControl, AppendMessage(nil, m[0])),
		dataFrame(exampleRecords, appendRecords(nil, r[:2])),
		dataFrame(exampleRecords, appendRecords(nil, r[2:3])),
		dataFrame(exampleRecords, appendRecords(nil, r[3:])),
		dataFrame(exampleControl, AppendMessage(nil, m[1])),
	}))
}

func TestConversationDecodes(t *testing.T) {
	fromAgent, fromRelay := conversation(t)
	agent, relay := bytes.NewReader(fromAgent), bytes.NewReader(fromRelay)
	hello, err := ReadHello(agent)
	require.NoError(t, err)
	require.Equal(t, "home", hello.Name)
	welcome, err := ReadWelcome(relay)
	require.NoError(t, err)
	require.NoError(t, welcome.Err())
	require.Equal(t, exampleToken, welcome.Session)

	check := func(rest *bytes.Reader, kinds bool, messages []Message, records []any) {
		b, err := io.ReadAll(rest)
		require.NoError(t, err)
		frames := parseFrames(t, b)
		control, data := streamData(frames, exampleControl), streamData(frames, exampleRecords)
		if kinds {
			require.Equal(t, KindControl, Kind(control[0]))
			require.Equal(t, KindRecords, Kind(data[0]))
			control, data = control[1:], data[1:]
		}
		gotMessages, err := readMessages(control)
		require.Equal(t, io.EOF, err)
		require.Equal(t, messages, gotMessages)
		gotRecords, err := decodeAll(data)
		require.NoError(t, err)
		require.Equal(t, records, gotRecords)
	}
	check(agent, true, fromAgentMessages, fromAgentRecords)
	check(relay, false, fromRelayMessages, fromRelayRecords)
}
