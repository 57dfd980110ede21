package sshwire

import (
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// TestVectorsOfResume holds RESUME.md and this package to each other.
func TestVectorsOfResume(t *testing.T) {
	text, err := os.ReadFile("../../proto/RESUME.md")
	require.NoError(t, err)
	examples := make(map[string][]byte)
	for _, match := range regexp.MustCompile("(?s)```hex name=([a-z-]+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		var digits strings.Builder
		for line := range strings.Lines(match[2]) {
			line, _, _ = strings.Cut(line, "#")
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
		b, err := hex.DecodeString(digits.String())
		require.NoError(t, err, match[1])
		examples[match[1]] = b
	}
	want := map[string]any{
		"resumable-new":     Resumable{"127.0.0.1", 25565, "203.0.113.9", 50000, 7, 0, false},
		"resumable-resumed": Resumable{"127.0.0.1", 25565, "203.0.113.9", 50000, 7, 6, true},
		"ack":               Ack{65536},
		"end":               End{5},
		"window-ask":        WindowAsk{2 << 20},
		"window-grant":      WindowGrant{8 << 20},
		"window-begin":      WindowBegin{2<<20 + 65536},
	}
	require.Len(t, examples, len(want))
	for name, message := range want {
		require.Equal(t, ssh.Marshal(message), examples[name], name)
	}
}
