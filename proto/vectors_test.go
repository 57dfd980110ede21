package proto

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	vectorBlock = regexp.MustCompile("(?ms)^```hex name=([a-z0-9-]+)\n(.*?)^```$")
	anyHexBlock = regexp.MustCompile("(?m)^```hex")
)

// specText is SPEC.md.
func specText(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	require.NoError(t, err)
	return string(text)
}

// specBlocks are the hexadecimal blocks of SPEC.md by name, as they stand.
func specBlocks(t testing.TB) map[string]string {
	t.Helper()
	text := specText(t)
	blocks := make(map[string]string)
	for _, m := range vectorBlock.FindAllStringSubmatch(text, -1) {
		require.NotContains(t, blocks, m[1], "two vectors of one name")
		blocks[m[1]] = m[2]
	}
	require.NotEmpty(t, blocks, "no vector found in SPEC.md")
	require.Len(t, anyHexBlock.FindAllString(text, -1), len(blocks), "a hex block of SPEC.md isn't read as a vector")
	return blocks
}

// parseHex turns a block into bytes; # begins a comment.
func parseHex(t testing.TB, block string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(block) {
		code, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	b, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	require.NotEmpty(t, b, "a vector without bytes")
	return b
}

// specVector is the bytes of the named block.
func specVector(t testing.TB, name string) []byte {
	t.Helper()
	block, ok := specBlocks(t)[name]
	require.True(t, ok, "SPEC.md has no vector %q", name)
	return parseHex(t, block)
}

// specTable is the rows under the table of SPEC.md with this header, each
// split into its cells.
func specTable(t testing.TB, header string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(specText(t), header+"\n")
	require.True(t, ok, "SPEC.md has no table %q", header)
	var rows [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	require.NotEmpty(t, rows)
	return rows
}

// seedVectors gives a fuzz target the vectors of SPEC.md whose name begins
// with one of the prefixes, cut short and joined as well.
func seedVectors(f *testing.F, add func(b []byte), prefixes ...string) {
	f.Helper()
	var seeds [][]byte
	for name, block := range specBlocks(f) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				seeds = append(seeds, parseHex(f, block))
			}
		}
	}
	require.NotEmpty(f, seeds, "a fuzz target without seeds")
	for _, seed := range seeds {
		add(seed)
		add(seed[:len(seed)/2])
	}
	add(bytes.Join(seeds, nil))
}
