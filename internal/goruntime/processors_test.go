package goruntime

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcessorsFollowTheWork(t *testing.T) {
	p := processors{most: 6, now: 1}
	total, idle := 0.0, 0.0
	step := func(seconds, busy float64) int {
		total += seconds
		idle += seconds * (1 - busy)
		p.follow(total, idle)
		return p.now
	}
	require.Equal(t, 1, step(1, 0.7))
	require.Equal(t, 2, step(1, 0.8))
	require.Equal(t, 2, step(0.1, 1), "too short to tell")
	require.Equal(t, 4, step(0.2, 1))
	require.Equal(t, 6, step(1, 1), "no more than there are")
	require.Equal(t, 6, step(1, 1))
	require.Equal(t, 6, step(1, 0.4))
	require.Equal(t, 3, step(1, 0.2))
	require.Equal(t, 1, step(1, 0))
	require.Equal(t, 1, step(1, 0))
	require.Equal(t, 1, step(1, 0.6), "twice what was too little for two is too little to have two again")
}

func TestProcessorsOfABusyProgram(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "")
	calmProcessors()
	require.Equal(t, 1, runtime.GOMAXPROCS(0))

	var over atomic.Bool
	done := make(chan struct{}, 4)
	for range cap(done) {
		go func() {
			defer func() { done <- struct{}{} }()
			for !over.Load() {
				runtime.Gosched()
			}
		}()
	}
	collected := func(want int) func() bool {
		return func() bool {
			runtime.GC()
			return runtime.GOMAXPROCS(0) == want
		}
	}
	require.Eventually(t, collected(2), 20*time.Second, 20*time.Millisecond)
	over.Store(true)
	for range cap(done) {
		<-done
	}
	require.Eventually(t, collected(1), 20*time.Second, 20*time.Millisecond)
}

func TestProcessorsThatTheUserHasChosen(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "2")
	calmProcessors()
	require.Equal(t, 2, runtime.GOMAXPROCS(0))
}
