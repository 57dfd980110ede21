package agent

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	}, nil), &reports
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
  tcp  :8081                      refused: port 8081 is taken; trying again
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

// clockedBoard is a board on a clock of its own, what it reported and what it logged.
type clockedBoard struct {
	*board
	// Guarded by the board's mu, which it holds when it calls.
	reports []Report
	log     bytes.Buffer
	works   bool // the link of the TCP forwards
}

// onItsClock runs a test of a board in a bubble of synctest.
func onItsClock(t *testing.T, forwards []forward.Forward, test func(*testing.T, *clockedBoard)) {
	synctest.Test(t, func(t *testing.T) {
		c := &clockedBoard{works: true}
		c.board = newBoard("relay.example.org", Config{
			Forwards: forwards,
			Log:      slog.New(slog.NewTextHandler(&c.log, nil)),
			Report:   func(r Report) { c.reports = append(c.reports, r) },
		}, func() bool { return c.works })
		defer c.close()
		test(t, c)
	})
}

// after lets time pass, and is what was reported and logged by then.
func (c *clockedBoard) after(d time.Duration) (reports []Report, log string) {
	time.Sleep(d)
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reports), c.log.String()
}

// notCarried is how often a log says so.
func notCarried(log string) int {
	return strings.Count(log, "udp is not carried, though the relay is reached")
}

func TestBoardWaitsForUDPForAWhileOnly(t *testing.T) {
	forwards := append(parse(t, forward.TCP, "8080-8081"), parse(t, forward.UDP, "27015")...)
	onItsClock(t, forwards, func(t *testing.T, b *clockedBoard) {
		b.up(0, "r:8080")
		reports, _ := b.after(time.Minute)
		require.Empty(t, reports, "for TCP it waits")
		b.up(1, "r:8081")
		reports, _ = b.after(udpPatience - 1)
		require.Empty(t, reports)
		b.noLane(errors.New("relay refused the lane: too many\x1b[31m"))
		reports, log := b.after(1)
		require.Len(t, reports, 1)
		require.True(t, reports[0].Waits())
		require.Equal(t, `funnel is up: relay.example.org
  tcp  r:8080 -> 127.0.0.1:8080
  tcp  r:8081 -> 127.0.0.1:8081
  udp  :27015    waits: relay refused the lane: too many[31m
`, reports[0].String())
		require.Equal(t, 1, notCarried(log))
		require.Contains(t, log, "too many")
		for range 100 {
			b.noLane(errors.New("something else"))
			b.down([]int{2})
			_, log = b.after(time.Second)
		}
		require.Equal(t, 1, notCarried(log), "once, however many tries")
		reports, log = b.after(outageRepeat)
		require.Equal(t, 2, notCarried(log))
		require.Len(t, reports, 1)

		b.up(2, "r:27015")
		reports, log = b.after(0)
		require.Len(t, reports, 2)
		require.False(t, reports[1].Waits())
		require.Equal(t, Up, reports[1].Event)
		require.Contains(t, log, "udp is carried again")

		b.down([]int{2})
		b.after(udpPatience - 1)
		b.up(2, "r:27015")
		reports, _ = b.after(0)
		require.Equal(t, UpAgain, reports[2].Event, "soon enough")
		b.down([]int{0, 1, 2})
		reports, log = b.after(time.Hour)
		require.Len(t, reports, 3, "what else there is to say concerns the link")
		require.Equal(t, 2, notCarried(log))
	})
}

// A path that is dead is found so for one link after the other.
func TestBoardSaysNothingOfUDPWhileTheLinkIsInDoubt(t *testing.T) {
	forwards := append(parse(t, forward.TCP, "8080"), parse(t, forward.UDP, "27015")...)
	onItsClock(t, forwards, func(t *testing.T, b *clockedBoard) {
		doubt := func(doubt bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.works = !doubt
		}
		b.up(0, "r:8080")
		b.up(1, "r:27015")
		doubt(true)
		b.down([]int{1})
		reports, log := b.after(time.Minute)
		require.Empty(t, log)
		require.Len(t, reports, 1)
		doubt(false)
		reports, log = b.after(udpPatience)
		require.NotEmpty(t, log)
		require.Len(t, reports, 2)
		require.ErrorIs(t, reports[1].Forwards[1].Err, errNoLane)
	})
}

// UDP forwards that were late are reported once they are all back, not one by one.
func TestBoardReportsUDPThatWasLateAsAWhole(t *testing.T) {
	forwards := append(parse(t, forward.TCP, "8080"), parse(t, forward.UDP, "27015-27016")...)
	onItsClock(t, forwards, func(t *testing.T, b *clockedBoard) {
		b.up(0, "r:8080")
		reports, _ := b.after(udpPatience)
		require.Len(t, reports, 1)
		b.up(1, "r:27015")
		reports, _ = b.after(0)
		require.Len(t, reports, 1)
		b.up(2, "r:27016")
		reports, _ = b.after(0)
		require.Len(t, reports, 2)
	})
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
