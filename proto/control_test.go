package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// readMessages reads messages until an error, which at best is io.EOF.
func readMessages(b []byte) ([]Message, error) {
	var messages []Message
	r := bytes.NewReader(b)
	for {
		m, err := ReadMessage(r)
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
}

// rawMessage is a message of any type and body.
func rawMessage(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(body))), body...)
}

// everyMessage is one of each with nothing in it, and one with all it can hold.
func everyMessage() []Message {
	host, text := strings.Repeat("h", MaxHost), strings.Repeat("t", MaxText)
	return []Message{
		Bind{}, Bind{math.MaxUint32, host, math.MaxUint16},
		Bound{}, Bound{math.MaxUint32, host, math.MaxUint16},
		Refused{}, Refused{math.MaxUint32, 255, text},
		Unbind{}, Unbind{math.MaxUint32},
		Unbound{}, Unbound{math.MaxUint32, 255, text},
		Close{}, Close{255, text},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	var all []byte
	for _, m := range everyMessage() {
		b := AppendMessage(nil, m)
		require.LessOrEqual(t, len(b), 3+MaxControl)
		got, err := ReadMessage(iotest.OneByteReader(bytes.NewReader(b)))
		require.NoError(t, err)
		require.Equal(t, m, got)
		all = AppendMessage(all, m)
	}
	got, err := readMessages(all)
	require.Equal(t, io.EOF, err)
	require.Equal(t, everyMessage(), got)
}

func TestMessageTruncatedAnywhere(t *testing.T) {
	for _, m := range everyMessage() {
		b := AppendMessage(nil, m)
		_, err := ReadMessage(bytes.NewReader(nil))
		require.Equal(t, io.EOF, err, "the end between messages is io.EOF itself")
		for i := 1; i < len(b); i++ {
			_, err := ReadMessage(bytes.NewReader(b[:i]))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%T cut at %d", m, i)
		}
	}
}

// TestMessageBodyTooShort cuts the body and says so in the length: the stream
// is whole, but the fields aren't.
func TestMessageBodyTooShort(t *testing.T) {
	for _, m := range everyMessage() {
		b := AppendMessage(nil, m)
		body := b[3:]
		for i := range body {
			_, err := ReadMessage(bytes.NewReader(rawMessage(b[0], body[:i])))
			require.ErrorIs(t, err, ErrMalformed, "%T with a body of %d", m, i)
		}
	}
}

func TestMessageIgnoresTrailingBytes(t *testing.T) {
	for _, m := range everyMessage() {
		b := AppendMessage(nil, m)
		longer := append(append([]byte(nil), b[3:]...), "from a later version"...)
		got, err := readMessages(append(rawMessage(b[0], longer), AppendMessage(nil, Unbind{5})...))
		require.Equal(t, io.EOF, err)
		require.Equal(t, []Message{m, Unbind{5}}, got)
	}
}

func TestMessageOfUnknownType(t *testing.T) {
	known := knownMessages()
	for kind := range 256 {
		if known[kind] != nil {
			continue
		}
		for _, body := range [][]byte{nil, make([]byte, 1), make([]byte, MaxControl)} {
			got, err := readMessages(append(rawMessage(byte(kind), body), AppendMessage(nil, Unbind{5})...))
			if kind < 128 {
				require.ErrorIs(t, err, ErrMalformed, "type %d", kind)
				require.Empty(t, got)
				continue
			}
			require.Equal(t, io.EOF, err, "type %d", kind)
			require.Equal(t, []Message{Unbind{5}}, got)
		}
	}
}

func TestMessageLimits(t *testing.T) {
	long := func(n int) []byte { // a close with a text of n bytes
		body := binary.BigEndian.AppendUint16([]byte{0}, uint16(n))
		return rawMessage(byte(TypeClose), append(body, make([]byte, n)...))
	}
	_, err := ReadMessage(bytes.NewReader(long(MaxText)))
	require.NoError(t, err)
	_, err = ReadMessage(bytes.NewReader(long(MaxText + 1)))
	require.ErrorIs(t, err, ErrMalformed)

	// Too long is found before any of the body is waited for.
	for _, n := range []uint16{MaxControl + 1, math.MaxUint16} {
		_, err = ReadMessage(bytes.NewReader(binary.BigEndian.AppendUint16([]byte{200}, n)))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestMessageStringsAreCut(t *testing.T) {
	huge := strings.Repeat("x", 1<<17)
	got, err := readMessages(AppendMessage(AppendMessage(nil, Bind{1, huge, 2}), Close{3, huge}))
	require.Equal(t, io.EOF, err)
	require.Equal(t, []Message{Bind{1, huge[:MaxHost], 2}, Close{3, huge[:MaxText]}}, got)
}

// TestMessageReadError sees that what the connection died of isn't lost.
func TestMessageReadError(t *testing.T) {
	reset := errors.New("connection reset")
	b := AppendMessage(nil, Bind{Forward: 1, Host: "localhost"})
	for i := range b {
		_, err := ReadMessage(io.MultiReader(bytes.NewReader(b[:i]), iotest.ErrReader(reset)))
		require.ErrorIs(t, err, reset, "after %d bytes", i)
	}
}
