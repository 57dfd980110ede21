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

func everyHello() []Hello {
	return []Hello{
		{},
		{Version: 1, Lowest: 1, Name: "home"},
		{Version: 7, Lowest: 3, Features: math.MaxUint64, Session: exampleToken, Name: strings.Repeat("n", MaxName)},
		{Version: math.MaxUint16, Lowest: math.MaxUint16, Features: 1, Name: "\x00\xff"},
	}
}

func everyWelcome() []Welcome {
	return []Welcome{
		{},
		{Version: 1, Session: exampleToken},
		{Version: 1, Code: CodeVersion, Text: "too old"},
		{Version: math.MaxUint16, Code: 255, Features: math.MaxUint64, Session: exampleToken, Text: strings.Repeat("t", welcomeText)},
	}
}

// welcomeText is the longest text that Welcome.Append writes; see SPEC.md §9.
const welcomeText = 768

// rawHello is a preamble and a body of any kind.
func rawHello(version uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte("funnel\r\n"), version)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

// helloReaders are both readers as one, for what they have in common.
var helloReaders = map[string]func(r io.Reader) (any, error){
	"hello":   func(r io.Reader) (any, error) { return ReadHello(r) },
	"welcome": func(r io.Reader) (any, error) { return ReadWelcome(r) },
}

// encodedHellos are the encodings of every example of what the reader reads.
func encodedHellos(name string) (encoded [][]byte, values []any) {
	if name == "hello" {
		for _, h := range everyHello() {
			encoded, values = append(encoded, h.Append(nil)), append(values, h)
		}
		return encoded, values
	}
	for _, w := range everyWelcome() {
		encoded, values = append(encoded, w.Append(nil)), append(values, w)
	}
	return encoded, values
}

func TestHelloRoundTrip(t *testing.T) {
	for name, read := range helloReaders {
		encoded, values := encodedHellos(name)
		for i, b := range encoded {
			// The bytes after it are the streams', and mustn't be touched.
			source := bytes.NewReader(append(append([]byte(nil), b...), "rest"...))
			got, err := read(iotest.OneByteReader(source))
			require.NoError(t, err, name)
			require.Equal(t, values[i], got, name)
			rest, err := io.ReadAll(source)
			require.NoError(t, err)
			require.Equal(t, "rest", string(rest), name)
		}
	}
}

func TestHelloAppendKeepsPrefix(t *testing.T) {
	b := Welcome{Version: 1}.Append(Hello{Version: 1}.Append([]byte("before")))
	require.Equal(t, "before", string(b[:6]))
	r := bytes.NewReader(b[6:])
	_, err := ReadHello(r)
	require.NoError(t, err)
	_, err = ReadWelcome(r)
	require.NoError(t, err)
	require.Zero(t, r.Len())
}

func TestHelloTruncatedAnywhere(t *testing.T) {
	for name, read := range helloReaders {
		encoded, _ := encodedHellos(name)
		for _, b := range encoded {
			_, err := read(bytes.NewReader(nil))
			require.ErrorIs(t, err, io.EOF, name)
			for i := 1; i < len(b); i++ {
				_, err := read(bytes.NewReader(b[:i]))
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s cut at %d", name, i)
			}
		}
	}
}

func TestHelloBodyTooShort(t *testing.T) {
	for name, read := range helloReaders {
		encoded, _ := encodedHellos(name)
		for _, b := range encoded {
			for i := range b[preambleLength:] {
				_, err := read(bytes.NewReader(rawHello(1, b[preambleLength:preambleLength+i])))
				require.ErrorIs(t, err, ErrMalformed, "%s with a body of %d", name, i)
			}
		}
	}
}

func TestHelloFromLaterVersion(t *testing.T) {
	for name, read := range helloReaders {
		encoded, values := encodedHellos(name)
		for i, b := range encoded {
			version := binary.BigEndian.Uint16(b[len(magic):])
			body := b[preambleLength:]
			for _, extra := range []int{1, 100, MaxHello - len(body)} {
				longer := append(append([]byte(nil), body...), bytes.Repeat([]byte{0xee}, extra)...)
				got, err := read(bytes.NewReader(rawHello(version, longer)))
				require.NoError(t, err, name)
				require.Equal(t, values[i], got, name)
			}
		}
	}
}

func TestHelloMagic(t *testing.T) {
	for name, read := range helloReaders {
		encoded, _ := encodedHellos(name)
		for i := range magic {
			b := append([]byte(nil), encoded[1]...)
			b[i] ^= 0x20
			_, err := read(bytes.NewReader(b))
			require.ErrorIs(t, err, ErrMalformed, "%s with byte %d changed", name, i)
		}
	}
}

func TestHelloLimits(t *testing.T) {
	for name, read := range helloReaders {
		for _, n := range []uint16{MaxHello + 1, math.MaxUint16} {
			// There is no body: too long is found before it is waited for.
			b := binary.BigEndian.AppendUint16([]byte("funnel\r\n\x00\x01"), n)
			_, err := read(bytes.NewReader(b))
			require.ErrorIs(t, err, ErrMalformed, name)
		}
	}
	body := make([]byte, 2+8+16, 256)
	body = append(body, MaxName+1)
	body = append(body, make([]byte, MaxName+1)...)
	_, err := ReadHello(bytes.NewReader(rawHello(1, body)))
	require.ErrorIs(t, err, ErrMalformed, "a name too long by one")
}

func TestHelloStringsAreCut(t *testing.T) {
	huge := strings.Repeat("x", 1<<17)
	h, err := ReadHello(bytes.NewReader(Hello{Name: huge}.Append(nil)))
	require.NoError(t, err)
	require.Equal(t, huge[:MaxName], h.Name)
	w, err := ReadWelcome(bytes.NewReader(Welcome{Text: huge}.Append(nil)))
	require.NoError(t, err)
	require.Equal(t, huge[:welcomeText], w.Text)
}

func TestHelloReadError(t *testing.T) {
	reset := errors.New("connection reset")
	for name, read := range helloReaders {
		encoded, _ := encodedHellos(name)
		for i := range encoded[1] {
			_, err := read(io.MultiReader(bytes.NewReader(encoded[1][:i]), iotest.ErrReader(reset)))
			require.ErrorIs(t, err, reset, "%s after %d bytes", name, i)
		}
	}
}

func TestHelloVersionsTheWrongWayRound(t *testing.T) {
	_, err := ReadHello(bytes.NewReader(Hello{Version: 1, Lowest: 2}.Append(nil)))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestHelloChoose(t *testing.T) {
	tests := []struct {
		lowest, version uint16
		want            uint16 // 0 for none
	}{
		{1, 1, 1},
		{1, 2, 1},
		{1, math.MaxUint16, 1},
		{0, 1, 1},
		{0, 5, 1},
		{0, 0, 0},
		{2, 2, 0},
		{2, 9, 0},
		{math.MaxUint16, math.MaxUint16, 0},
	}
	for _, test := range tests {
		got, err := Hello{Version: test.version, Lowest: test.lowest}.Choose()
		require.Equal(t, test.want, got, "%d to %d", test.lowest, test.version)
		if test.want == 0 {
			require.ErrorIs(t, err, &Error{Code: CodeVersion})
			require.ErrorContains(t, err, "update the older of the two")
		} else {
			require.NoError(t, err)
		}
	}
}

func TestWelcomeErr(t *testing.T) {
	require.NoError(t, Welcome{Code: CodeOK, Text: "hello"}.Err())
	err := Welcome{Code: CodeDenied, Text: "not this key"}.Err()
	require.EqualError(t, err, "not this key")
	require.ErrorIs(t, err, &Error{Code: CodeDenied})
	require.NotErrorIs(t, err, &Error{Code: CodeLimit})
	var refusal *Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, CodeDenied, refusal.Code)
	require.EqualError(t, Welcome{Code: CodeLimit}.Err(), "limit reached")
	require.EqualError(t, Welcome{Code: 200}.Err(), "code 200")
}
