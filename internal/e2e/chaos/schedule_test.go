//go:build linux

package chaos

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is something that happens to a funnel.
type fault string

const (
	cutLink     fault = "link cut"
	loseBursts  fault = "loss in bursts"
	freezePath  fault = "path frozen"
	newAddress  fault = "new address"
	stopAgent   fault = "agent stopped"
	stopRelay   fault = "relay stopped"
	killAgent   fault = "agent killed"
	killRelay   fault = "relay killed"
	jumpAgent   fault = "agent's clock jumps"
	jumpRelay   fault = "relay's clock jumps"
	starveAgent fault = "agent out of descriptors"
	starveRelay fault = "relay out of descriptors"
)

// kills is 1 for a fault that ends a program, else 0.
func (f fault) kills() int {
	if f == killAgent || f == killRelay {
		return 1
	}
	return 0
}

// faults are all, each as often as it is drawn. Kills are rare, so that much
// else happens to a process before its end.
var faults = []fault{
	cutLink, cutLink, cutLink, cutLink, loseBursts, loseBursts, loseBursts, freezePath, freezePath, freezePath, freezePath,
	newAddress, newAddress, stopAgent, stopAgent, stopRelay, stopRelay, starveAgent, starveRelay, killAgent, killRelay,
	jumpAgent, jumpAgent, jumpRelay, jumpRelay,
}

// step is a fault at a time, and how long it lasts. Of a kill that is until the
// program is started again; some faults have no end.
type step struct {
	at    time.Duration
	fault fault
	lasts time.Duration
}

// event is the begin or end of a step.
type event struct {
	at    time.Duration
	begin bool
	step
}

// makeSchedule draws the faults of a time, all before its end.
func makeSchedule(seed uint64, total time.Duration) (events []event) {
	random := rand.New(rand.NewPCG(seed, 1))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	// Each happens at least once, if there is time.
	var first []fault
	for _, f := range faults {
		if !slices.Contains(first, f) {
			first = append(first, f)
		}
	}
	random.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	// Kills come last: what else happens must not break anything.
	slices.SortStableFunc(first, func(a, b fault) int { return cmp.Compare(a.kills(), b.kills()) })
	at := 500 * time.Millisecond
	for i := 0; ; i++ {
		s := step{at: at, fault: faults[random.IntN(len(faults))]}
		if i < len(first) {
			s.fault = first[i]
		}
		switch s.fault {
		case cutLink, loseBursts, stopAgent, stopRelay:
			s.lasts = between(200*time.Millisecond, sized(900*time.Millisecond, 8*time.Second))
		case killAgent, killRelay, starveAgent, starveRelay:
			s.lasts = between(time.Millisecond, sized(500*time.Millisecond, 3*time.Second))
		}
		if s.at+s.lasts >= total {
			break
		}
		events = append(events, event{s.at, true, s})
		if s.lasts > 0 {
			events = append(events, event{s.at + s.lasts, false, s})
		}
		if random.IntN(4) == 0 {
			at += between(time.Millisecond, s.lasts+100*time.Millisecond) // another on top of it
		} else {
			at += s.lasts + between(100*time.Millisecond, sized(700*time.Millisecond, 5*time.Second))
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events
}

func TestScheduleFollowsFromItsSeed(t *testing.T) {
	const total = 10 * time.Minute
	events := makeSchedule(1, total)
	require.Equal(t, events, makeSchedule(1, total))
	require.NotEqual(t, events, makeSchedule(2, total))
	under := make(map[fault]int)
	for _, e := range events {
		require.Less(t, e.at, total)
		if e.begin {
			under[e.fault]++
		}
	}
	for _, f := range faults {
		require.Positive(t, under[f], f)
	}
}
