package checkup

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/agent"
	"funnel/internal/probe"
	"funnel/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// anyHost trusts one key.
type anyHost struct{ check ssh.HostKeyCallback }

func (h anyHost) Callback(context.Context, string) ssh.HostKeyCallback { return h.check }
func (h anyHost) Algorithms(string) []string                           { return nil }

func newKey(t testing.TB) ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromSigner(private)
	require.NoError(t, err)
	return signer
}

// startRelay starts a relay on loopback, whose one key has options, and returns
// how to measure it.
func startRelay(t *testing.T, options string) Options {
	hostKey, key := newKey(t), newKey(t)
	keys := filepath.Join(t.TempDir(), "authorized_keys")
	line := strings.TrimSpace(options + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	require.NoError(t, os.WriteFile(keys, []byte(line+"\n"), 0o600))
	policy, err := access.ParsePolicy(nil, nil)
	require.NoError(t, err)
	r, err := relay.New(relay.Config{
		Listen: []string{"127.0.0.1:0"}, HostKeys: []ssh.Signer{hostKey}, Keys: access.NewKeys(keys, policy, nil), Version: "test",
	})
	require.NoError(t, err)
	addresses, err := r.Listen()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	profile, err := probe.FindProfile("sandbox")
	require.NoError(t, err)
	return Options{
		Agent: agent.Config{
			Address: addresses[0].String(), User: "funnel", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
			HostKeys: anyHost{ssh.FixedHostKey(hostKey.PublicKey())}, KeepaliveInterval: time.Minute, KeepaliveCount: 3,
			Lanes: 2, Version: "test",
		},
		Profile: profile, Duration: MinDuration,
	}
}

func TestRun(t *testing.T) {
	options := startRelay(t, "")
	var steps []string
	options.Progress = func(what string) { steps = append(steps, what) }
	result, err := Run(t.Context(), options)
	require.NoError(t, err)
	require.Len(t, steps, 5)
	require.Empty(t, result.Notes)
	require.Equal(t, "127.0.0.1", result.Address)
	require.Len(t, result.Conditions, 4)
	for i, load := range []Load{Quiet, Upload, Download, Through} {
		c := result.Conditions[i]
		require.Equal(t, load, c.Load)
		require.Equal(t, load != Quiet, c.Bulk > 0, "%s moved %f", load, c.Bulk)
		require.Len(t, c.Ways, 4)
		for _, m := range c.Ways {
			require.Empty(t, m.Problem, m.Way)
			require.False(t, m.Blocked)
			require.NotNil(t, m.Summary, m.Way)
			require.Equal(t, 20, m.Summary.Sent)
			require.Equal(t, m.Way == FunnelTCP || m.Way == FunnelUDP, m.Ratio > 0, m.Way)
		}
	}
	require.NotEmpty(t, result.Verdict)

	var text, page, script bytes.Buffer
	require.NoError(t, result.WriteText(&text))
	for _, part := range []string{
		"Round trips in ms, with nothing else going on", "Beside an upload to the relay, which gets ", "Beside a download", "Beside a player's download",
		"plain TCP to the relay", "plain UDP to the relay", "TCP through the funnel", "UDP through the funnel", "█", "\nVerdict\n- ",
	} {
		require.Contains(t, text.String(), part)
	}
	require.NoError(t, result.WriteHTML(&page))
	requirePictures(t, page.String(), 4)
	require.NoError(t, result.WriteJSON(&script))
	var again Result
	require.NoError(t, json.Unmarshal(script.Bytes(), &again))
	require.Equal(t, result.Verdict, again.Verdict)
	require.Equal(t, result.Conditions[0].Ways[0].Summary, again.Conditions[0].Ways[0].Summary)
}

// requirePictures wants so many SVG images that are well-formed.
func requirePictures(t *testing.T, page string, count int) {
	t.Helper()
	parts := strings.Split(page, "<svg")[1:]
	require.Len(t, parts, count)
	for _, part := range parts {
		svg, _, found := strings.Cut(part, "</svg>")
		require.True(t, found)
		require.NotContains(t, svg, "NaN")
		require.NotContains(t, svg, "Inf")
		decoder := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>"))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err)
			}
		}
	}
}

func TestRunTellsWhatItIsNotGiven(t *testing.T) {
	// Two forwards are as many as the key may have, so there are no test ports.
	result, err := Run(t.Context(), startRelay(t, `max-forwards="2"`))
	require.NoError(t, err)
	require.Len(t, result.Notes, 1)
	require.Contains(t, result.Notes[0], "the relay refuses test ports: this key may have 2 forwarded ports")
	require.Len(t, result.Conditions, 2, "nothing is beside a transfer that can't be")
	require.Nil(t, result.find(Quiet).find(PlainUDP))
	require.NotNil(t, result.find(Quiet).find(FunnelUDP))
	require.NotNil(t, result.find(Through).find(FunnelUDP))
	require.Zero(t, result.find(Quiet).find(FunnelUDP).Ratio, "there is nothing to compare with")
}

func TestRunOfAKeyThatMayNothing(t *testing.T) {
	_, err := Run(t.Context(), startRelay(t, "restrict"))
	require.ErrorIs(t, err, agent.ErrForward)
}

func TestRunOfAStranger(t *testing.T) {
	options := startRelay(t, "")
	options.Agent.Auth = []ssh.AuthMethod{ssh.PublicKeys(newKey(t))}
	_, err := Run(t.Context(), options)
	require.ErrorIs(t, err, agent.ErrAuth)
}

// TestRunStops: at whatever step it is stopped, nothing is left; see TestMain.
func TestRunStops(t *testing.T) {
	for step := range 5 {
		options := startRelay(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		options.Progress = func(string) {
			if steps == step {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			steps++
		}
		_, err := Run(ctx, options)
		require.ErrorIs(t, err, context.Canceled, "step %d", step)
		cancel()
	}
}

// TestRunOfARelayThatGoesAway: what is told isn't how Go calls it alone.
func TestRunOfARelayThatGoesAway(t *testing.T) {
	s, err := build(t.Context(), startRelay(t, ""))
	require.NoError(t, err)
	defer s.close()
	s.test.Close()
	_, err = s.measure(t.Context(), Quiet)
	require.ErrorContains(t, err, "the connection to the relay broke off before all was measured")
}

func TestDurationIsBounded(t *testing.T) {
	for _, duration := range []time.Duration{0, MinDuration - 1, MaxDuration + 1} {
		_, err := Run(t.Context(), Options{Duration: duration})
		require.ErrorContains(t, err, "must be from 1s to 1m30s")
	}
}
