package agent

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

// testBoard is a board of two TCP forwards and one UDP forward, and what it
// reported.
func testBoard(t *testing.T, strict bool) (*board, *[]Report) {
	t.Helper()
	var reports []Report
	var forwards []forward.Forward
	for network, spec := range map[forward.Network]string{forward.TCP: "8080-8081", forward.UDP: "27015"} {
		parsed, err := forward.Parse(network, spec)
		require.NoError(t, err)
		if network == forward.TCP {
			forwards = append(parsed, forwards...)
		} else {
			forwards = append(forwards, parsed...)
		}
	}
	return newBoard("relay.example.org", Config{
		Forwards: forwards, ExitOnForwardFailure: strict,
		Report: func(r Report) { reports = append(reports, r) },
	}), &reports
}

func TestBoardReportsOnceEverythingHasAnAnswer(t *testing.T) {
	b, reports := testBoard(t, false)
	b.up(0, "relay.example.org:8080")
	require.NoError(t, b.refused(1, errors.New("port 8081 is taken"), false))
	require.Empty(t, *reports, "the UDP forward has no answer yet")
	b.up(2, "relay.example.org:27015")
	require.Len(t, *reports, 1)
	require.Equal(t, `funnel is up: relay.example.org
  tcp  relay.example.org:8080  -> 127.0.0.1:8080
  tcp  :8081                      refused: port 8081 is taken
  udp  relay.example.org:27015 -> 127.0.0.1:27015
`, (*reports)[0].String())
}

func TestBoardReportsChangesAndNothingElse(t *testing.T) {
	b, reports := testBoard(t, false)
	for i, public := range []string{"r:8080", "r:8081", "r:27015"} {
		b.up(i, public)
	}
	require.Len(t, *reports, 1)

	b.up(2, "r:27015")
	require.Len(t, *reports, 1, "the same answer, on another lane, isn't news")

	b.down([]int{0, 1})
	b.up(0, "r:8080")
	b.up(1, "r:8081")
	require.Len(t, *reports, 2)
	require.Equal(t, "funnel is up again: relay.example.org\n", (*reports)[1].String())

	b.down([]int{2})
	b.up(2, "r:27016")
	require.Len(t, *reports, 3)
	require.Equal(t, Up, (*reports)[2].Event, "the public port is another one")

	require.NoError(t, b.refused(0, errors.New("taken"), false))
	require.Len(t, *reports, 4)
	require.NoError(t, b.refused(0, errors.New("taken"), false))
	require.Len(t, *reports, 4)
}

func TestBoardGivesUp(t *testing.T) {
	t.Run("at the first refusal when strict", func(t *testing.T) {
		b, reports := testBoard(t, true)
		b.up(0, "r:8080")
		err := b.refused(1, errors.New("port 8081 is taken"), false)
		require.ErrorIs(t, err, ErrForward)
		require.EqualError(t, err, "expose tcp :8081: port 8081 is taken")
		require.Empty(t, *reports)
	})
	t.Run("when everything is forbidden", func(t *testing.T) {
		b, reports := testBoard(t, false)
		require.NoError(t, b.refused(0, errors.New("not permitted"), true))
		require.NoError(t, b.refused(1, errors.New("not permitted"), true))
		err := b.refused(2, errors.New("no UDP"), true)
		require.ErrorIs(t, err, ErrForward)
		require.EqualError(t, err, "expose tcp :8080: not permitted; expose udp :27015: no UDP")
		require.Empty(t, *reports)
	})
	t.Run("but not while something may still come up", func(t *testing.T) {
		b, reports := testBoard(t, false)
		require.NoError(t, b.refused(0, errors.New("not permitted"), true))
		require.NoError(t, b.refused(1, errors.New("taken"), false))
		require.NoError(t, b.refused(2, errors.New("no UDP"), true))
		require.Len(t, *reports, 1)
		require.Contains(t, (*reports)[0].String(), "nothing is exposed: relay.example.org\n")
	})
}
