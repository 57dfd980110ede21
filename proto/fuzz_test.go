package proto

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireKnownError: on bytes alone a reader has three ways to fail.
func requireKnownError(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrMalformed) {
		require.NoError(t, err)
	}
}

func FuzzReadHello(f *testing.F) {
	add := func(b []byte) { f.Add(b) }
	seedVectors(f, add, "hello", "bad-hello", "welcome")
	for _, h := range everyHello() {
		add(h.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHello(bytes.NewReader(b))
		if err != nil {
			requireKnownError(t, err)
			require.Equal(t, Hello{}, h)
			return
		}
		again := h.Append(nil)
		require.LessOrEqual(t, len(again), len(b))
		got, err := ReadHello(bytes.NewReader(again))
		require.NoError(t, err)
		require.Equal(t, h, got)
		if version, err := h.Choose(); err == nil {
			require.True(t, h.Lowest <= version && version <= h.Version)
			require.True(t, LowestVersion <= version && version <= Version)
		}
	})
}

func FuzzReadWelcome(f *testing.F) {
	add := func(b []byte) { f.Add(b) }
	seedVectors(f, add, "welcome", "bad-welcome", "hello")
	for _, w := range everyWelcome() {
		add(w.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ReadWelcome(bytes.NewReader(b))
		if err != nil {
			requireKnownError(t, err)
			require.Equal(t, Welcome{}, w)
			return
		}
		require.Equal(t, w.Code == CodeOK, w.Err() == nil)
		w.Text = w.Text[:min(len(w.Text), welcomeText)] // more is taken than written
		got, err := ReadWelcome(bytes.NewReader(w.Append(nil)))
		require.NoError(t, err)
		require.Equal(t, w, got)
	})
}

func FuzzReadMessage(f *testing.F) {
	add := func(b []byte) { f.Add(b) }
	seedVectors(f, add, "bind", "bound", "refused", "unb", "close", "ignore-message", "bad-message")
	for _, m := range everyMessage() {
		add(AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := readMessages(b)
		requireKnownError(t, err)
		var again []byte
		for _, m := range messages {
			again = AppendMessage(again, m)
		}
		require.LessOrEqual(t, len(again), len(b))
		got, err := readMessages(again)
		require.Equal(t, io.EOF, err)
		require.Equal(t, messages, got)
	})
}

// FuzzDecoder sees that the same stream gives the same records and the same
// error however it is cut, and that what is decoded encodes to itself.
func FuzzDecoder(f *testing.F) {
	number := uint64(0)
	add := func(b []byte) {
		number++
		f.Add(b, number)
	}
	seedVectors(f, add, "datagram", "flow", "gone", "mark", "echo", "ignore-record", "bad-record")
	all := appendRecords(nil, everyRecord())
	add(all)
	add(append(append([]byte(nil), all...), specVector(f, "bad-record-type")...))
	add(AppendMark(AppendDatagram(nil, 1, 2, make([]byte, MaxDatagram)), 3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var whole recorder
		var d Decoder
		wantErr := d.Decode(b, &whole)
		r := rand.New(rand.NewPCG(seed, seed))
		for _, mean := range []int{1, 7, 1 + len(b)/3} {
			requireSame(t, &whole, wantErr, cut(r, b, mean))
		}
		// One cut at each place of the first records, where headers are.
		for at := range min(len(b), 64) {
			requireSame(t, &whole, wantErr, [][]byte{b[:at], b[at:]})
		}
		requireReencodes(t, whole.records)
		if wantErr == nil {
			requireCanonical(t, b[:len(b)-len(d.partial)], whole.records)
		} else {
			require.ErrorIs(t, wantErr, ErrMalformed)
		}
	})
}

func requireSame(t *testing.T, whole *recorder, wantErr error, pieces [][]byte) {
	t.Helper()
	records, err := decodeAll(pieces...)
	require.Equal(t, whole.records, records)
	if wantErr == nil {
		require.NoError(t, err)
	} else {
		require.EqualError(t, err, wantErr.Error())
	}
}

func requireReencodes(t *testing.T, records []any) {
	t.Helper()
	got, err := decodeAll(appendRecords(nil, records))
	require.NoError(t, err)
	require.Equal(t, records, got)
}

// requireCanonical: what a decoder leaves out (records to ignore, trailing
// bytes, the mapped form of an address) only ever makes the encoding longer,
// so where the lengths are equal the bytes must be.
func requireCanonical(t *testing.T, consumed []byte, records []any) {
	t.Helper()
	again := appendRecords(nil, records)
	require.LessOrEqual(t, len(again), len(consumed))
	if len(again) == len(consumed) {
		require.True(t, bytes.Equal(consumed, again), "records encode to other bytes than they came from")
	}
}
