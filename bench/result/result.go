// Package result is what a run of the laboratory leaves: a directory with a JSON
// file of everything that was set and seen, and the raw samples beside it.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"funnel/bench/system"
	"funnel/internal/probe"
	"funnel/internal/wan"
)

// Result is a whole run.
type Result struct {
	Machine   Machine    `json:"machine"`
	Started   time.Time  `json:"started"`
	Ended     time.Time  `json:"ended"`
	Command   []string   `json:"command"` // the flags, to repeat it
	Rounds    int        `json:"rounds"`
	LeftOut   []string   `json:"left_out,omitempty"` // what couldn't be run, and why
	Scenarios []Scenario `json:"scenarios"`
	Runs      []Run      `json:"runs"`
}

// Scenario is what was set.
type Scenario struct {
	Name       string         `json:"name"`
	What       string         `json:"what"`
	Kind       string         `json:"kind"`     // what is measured: see package lab
	Loopback   bool           `json:"loopback"` // no emulated links
	PlayerLink wan.Conditions `json:"player_link"`
	HomeLink   wan.Conditions `json:"home_link"`
	Congestion string         `json:"congestion_control"`
	Rate       float64        `json:"rate,omitempty"` // messages a second and flow
	Size       int            `json:"size,omitempty"` // bytes
	Flows      int            `json:"flows,omitempty"`
	Seconds    float64        `json:"seconds"`
	// Floor is the least round trip the path allows.
	Floor time.Duration `json:"floor_ns"`
	Order []string      `json:"order"` // of the ways, as they were taken
}

// Run is one way in one round of one scenario.
type Run struct {
	Scenario string `json:"scenario"`
	Round    int    `json:"round"`
	Way      string `json:"way"` // system, network and what was beside it
	System   string `json:"system"`
	Network  string `json:"network"` // udp or tcp
	Error    string `json:"error,omitempty"`
	// Quiet says that the machine was: issue 3's criterion. See lab.quiet.
	Quiet bool `json:"quiet"`

	Raw      string          `json:"raw,omitempty"` // file of samples, in the directory
	Summary  *probe.Summary  `json:"summary,omitempty"`
	Bulk     *probe.Transfer `json:"bulk,omitempty"`
	Echoed   *probe.Echoed   `json:"echoed,omitempty"`
	Recovery time.Duration   `json:"recovery_ns,omitempty"` // from the end of a cut to the first echo

	Relay Cost `json:"relay"`
	Agent Cost `json:"agent"`
	// Lost is what the emulated links lost, Overrun what the emulator couldn't
	// keep up with: then the run doesn't count.
	Lost    uint64 `json:"packets_lost"`
	Overrun uint64 `json:"packets_overrun"`
}

// Cost is what one side's programs used during a run.
type Cost struct {
	CPU     float64 `json:"cpu_seconds"`
	Seconds float64 `json:"seconds"` // of what time
	Memory  int64   `json:"memory_bytes"`
	Known   bool    `json:"known"`
}

// CostOf is the difference of two usages.
func CostOf(before, after system.Usage, elapsed time.Duration) Cost {
	return Cost{
		CPU: (after.CPU - before.CPU).Seconds(), Seconds: elapsed.Seconds(),
		Memory: after.Memory, Known: before.Known && after.Known,
	}
}

// Share is the share of one core.
func (c Cost) Share() float64 {
	if c.Seconds == 0 {
		return 0
	}
	return c.CPU / c.Seconds
}

const file = "result.json"

// Save writes the result into its directory.
func (r *Result) Save(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), append(b, '\n'), 0o644)
}

// Load reads a result from its directory.
func Load(dir string) (*Result, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("%w; is %s a directory that bench run wrote?", err, dir)
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, file), err)
	}
	return r, nil
}

// SaveSamples writes a run's samples and notes the file's name in it.
func (r *Run) SaveSamples(dir string, all []probe.Series) error {
	r.Raw = filepath.Join("raw", r.Scenario, fmt.Sprintf("%s.%d.samples", r.Way, r.Round))
	path := filepath.Join(dir, r.Raw)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = probe.WriteSeries(f, all...)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Samples reads a run's samples. A run without any is an empty list.
func (r *Run) Samples(dir string) ([]probe.Series, error) {
	if r.Raw == "" {
		return nil, nil
	}
	if !filepath.IsLocal(r.Raw) {
		return nil, fmt.Errorf("the result names a file outside its directory: %s", r.Raw)
	}
	f, err := os.Open(filepath.Join(dir, r.Raw))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := probe.ReadSeries(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Raw, err)
	}
	return all, nil
}
