package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"funnel/internal/forward"
)

// answer is where a forward stands.
type answer struct {
	known  bool
	public string
	err    error
	final  bool // asking again won't help
}

func (a answer) same(b answer) bool {
	if (a.err == nil) != (b.err == nil) || a.public != b.public {
		return false
	}
	return a.err == nil || a.err.Error() == b.err.Error()
}

// board holds the relay's answers for all forwards and tells when there is
// something to report. Safe for concurrent use.
type board struct {
	relay    string
	forwards []forward.Forward
	strict   bool // any refusal ends the agent
	report   func(Report)

	mu       sync.Mutex // held during report, so that reports come one by one
	answers  []answer
	reported []answer // as last reported; nil before the first report
	wasDown  bool     // an answer was withdrawn since then
}

func newBoard(relay string, config Config) *board {
	return &board{
		relay:    relay,
		forwards: config.Forwards,
		strict:   config.ExitOnForwardFailure,
		report:   config.Report,
		answers:  make([]answer, len(config.Forwards)),
	}
}

// up notes that forward i is reached at public.
func (b *board) up(i int, public string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[i] = answer{known: true, public: public}
	b.tell()
}

// refused notes why forward i isn't bound; final says that asking again won't
// help. The result is not nil if the agent has no reason to go on: a permanent
// error that says why.
func (b *board) refused(i int, err error, final bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[i] = answer{known: true, err: err, final: final}
	if b.strict {
		return &permanentError{kindOf(err), b.sentence(i)}
	}
	if b.hopeless() {
		kind := ErrOutlived
		for _, a := range b.answers {
			if kindOf(a.err) != kind {
				kind = ErrForward
			}
		}
		return &permanentError{kind, b.sentences()}
	}
	b.tell()
	return nil
}

// down withdraws the answers for forwards: their link is gone.
func (b *board) down(indexes []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range indexes {
		if b.answers[i].known {
			b.answers[i] = answer{}
			b.wasDown = true
		}
	}
}

// tell reports if every forward has an answer and there is news. Holds b.mu.
func (b *board) tell() {
	if slices.ContainsFunc(b.answers, func(a answer) bool { return !a.known }) {
		return
	}
	report := Report{Event: Up, Relay: b.relay, Forwards: b.statuses()}
	if b.reported != nil && slices.EqualFunc(b.answers, b.reported, answer.same) {
		if !b.wasDown {
			return
		}
		report.Event = UpAgain
	}
	b.reported = slices.Clone(b.answers)
	b.wasDown = false
	if b.report != nil {
		b.report(report)
	}
}

// now is the answers as they are; those of forwards whose link is gone aren't known.
func (b *board) now() []answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.answers)
}

func (b *board) statuses() []Status {
	statuses := make([]Status, len(b.forwards))
	for i, f := range b.forwards {
		statuses[i] = Status{Forward: f, Public: b.answers[i].public, Err: b.answers[i].err}
	}
	return statuses
}

// kindOf is what kind of permanent error a refusal makes.
func kindOf(refusal error) error {
	if errors.Is(refusal, ErrOutlived) {
		return ErrOutlived
	}
	return ErrForward
}

// hopeless reports whether every forward was refused for good.
func (b *board) hopeless() bool {
	return !slices.ContainsFunc(b.answers, func(a answer) bool { return !a.final })
}

func (b *board) sentence(i int) error {
	f := b.forwards[i]
	return fmt.Errorf("expose %s %s: %w", f.Network, f.Listen(), b.answers[i].err)
}

// sentences joins the refusals of all forwards; one that repeats for a whole
// range of ports is said once.
func (b *board) sentences() error {
	var texts []string
	seen := make(map[string]bool)
	for i, a := range b.answers {
		if reason := a.err.Error(); !seen[reason] {
			seen[reason] = true
			texts = append(texts, b.sentence(i).Error())
		}
	}
	return errors.New(strings.Join(texts, "; "))
}
