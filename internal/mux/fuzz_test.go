package mux

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// broken is what goes wrong with a transcript.
func broken(said []byte) [][]byte {
	flipped := bytes.Clone(said)
	flipped[len(flipped)/2] ^= 0xff
	return [][]byte{said, said[:len(said)/2], flipped, said[frameHeader:], nil}
}

// FuzzAccept is any agent at the relay: a lane that isn't one ends.
func FuzzAccept(f *testing.F) {
	_, said := transcript(f)
	require.NotEmpty(f, said)
	for _, seed := range append(broken(said), append(opening(), frameOf(commandFinish, recordStream)...)) {
		f.Add(seed, 0)
		f.Add(seed[:min(len(seed), 200)], 3)
	}
	f.Fuzz(func(t *testing.T, said []byte, piece int) { survive(t, Accept, said, piece, 0) })
}

// FuzzOpen is any relay at the agent.
func FuzzOpen(f *testing.F) {
	said, _ := transcript(f)
	require.NotEmpty(f, said)
	for _, seed := range append(broken(said), frameOf(commandOpen, 2)) {
		f.Add(seed, 0)
		f.Add(seed[:min(len(seed), 200)], 3)
	}
	f.Fuzz(func(t *testing.T, said []byte, piece int) { survive(t, Open, said, piece, len(opening())) })
}

// survive listens to a tape to its end, which must be noticed and be an error,
// and must not bring forth more than was said.
func survive(t *testing.T, start func(io.ReadWriteCloser, Receive) (*Mux, error), said []byte, piece, after int) {
	h := listen(t, start, newTape(said, max(0, piece%1000), after))
	require.Error(t, h.err)
	require.LessOrEqual(t, len(h.control)+len(h.records), len(said))
}
