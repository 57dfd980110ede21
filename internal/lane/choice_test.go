package lane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/flow"
	"funnel/internal/obs"
)

// choosing is a set of n lanes that carry nothing.
func choosing(n, copies int) (*Set, []*Lane) {
	drops := &obs.Drops{}
	s := NewSet(drops, copies)
	for slot := range n {
		s.Add(bareLane(slot, drops))
	}
	return s, s.Lanes()
}

// chosen is the slots that choose picks.
func chosen(s *Set, f *flow.Flow, sequence uint32, now time.Duration) []int {
	var picked [MaxCopies]*Lane
	n := s.choose(&picked, s.Lanes(), f, sequence, 100, now)
	var slots []int
	for _, l := range picked[:n] {
		slots = append(slots, l.Slot())
	}
	return slots
}

func TestChoiceOneCopyStaysOnTheFlowsLane(t *testing.T) {
	s, lanes := choosing(4, 1)
	f := newFlow(6)
	for n := range uint32(10) {
		require.Equal(t, []int{2}, chosen(s, f, n, 0))
	}
	lanes[2].path.troubled.Store(true)
	lanes[3].path.troubled.Store(true)
	require.Equal(t, []int{0}, chosen(s, f, 11, 0), "the next without trouble")
	lanes[2].path.troubled.Store(false)
	require.Equal(t, []int{0}, chosen(s, f, 12, 0), "it doesn't go back and forth")
	for _, l := range lanes {
		l.path.troubled.Store(true)
	}
	require.Equal(t, []int{0}, chosen(s, f, 13, 0), "all are as bad")
	require.EqualValues(t, 1, s.Counts().Switches)
}

func TestChoiceCopiesRotate(t *testing.T) {
	s, lanes := choosing(4, 2)
	f := newFlow(1)
	require.Equal(t, []int{0, 1}, chosen(s, f, 0, 0))
	require.Equal(t, []int{1, 2}, chosen(s, f, 1, 0))
	require.Equal(t, []int{3, 0}, chosen(s, f, 3, 0))
	require.Equal(t, []int{3, 0}, chosen(s, f, 1<<32-1, 0))
	lanes[1].path.troubled.Store(true)
	require.Equal(t, []int{0, 2}, chosen(s, f, 0, 0))
	lanes[2].path.troubled.Store(true)
	lanes[3].path.troubled.Store(true)
	require.Equal(t, []int{0, 1}, chosen(s, f, 0, 0), "late is better than not at all")
	require.Equal(t, []int{0, 1}, chosen(s, f, 1, 0), "the good one first")
}

func TestChoiceNeverPicksALaneTwice(t *testing.T) {
	for count := 1; count <= 5; count++ {
		for copies := 1; copies <= MaxCopies; copies++ {
			for trouble := range 1 << count {
				s, lanes := choosing(count, copies)
				for i, l := range lanes {
					l.path.troubled.Store(trouble>>i&1 == 1)
				}
				for sequence := range uint32(5) {
					slots := chosen(s, newFlow(sequence), sequence, 0)
					require.Len(t, slots, min(copies, count))
					unique := make(map[int]bool)
					for _, slot := range slots {
						unique[slot] = true
					}
					require.Len(t, unique, len(slots))
				}
			}
		}
	}
}

// TestChoiceCopiesKeepToTheirShare: where all lanes are in trouble, too, or a
// full line would be filled further.
func TestChoiceCopiesKeepToTheirShare(t *testing.T) {
	for _, troubled := range []bool{false, true} {
		s, lanes := choosing(4, 0)
		s.copies.level.Store(3)
		for _, l := range lanes {
			l.path.troubled.Store(troubled)
		}
		f := newFlow(1)
		copies := 0
		for n := range uint32(10 * copiesLeast / 100) { // ten times a second's share
			copies += len(chosen(s, f, n, time.Second)) - 1
		}
		require.InDelta(t, copiesLeast*copiesBurst.Seconds()/100, copies, 2, "in trouble: %v", troubled)
	}
}
