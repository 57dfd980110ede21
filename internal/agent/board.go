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
	if a.known != b.known || (a.err == nil) != (b.err == nil) || a.public != b.public {
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
	late     lateUDP

	mu       sync.Mutex // held during report, so that reports come one by one
	answers  []answer
	reported []answer // as last reported; nil before the first report
	wasDown  bool     // an answer was withdrawn since then
}

// newBoard makes a board; works says whether the link of the TCP forwards does.
func newBoard(relay string, config Config, works func() bool) *board {
	b := &board{
		relay:    relay,
		forwards: config.Forwards,
		strict:   config.ExitOnForwardFailure,
		report:   config.Report,
		answers:  make([]answer, len(config.Forwards)),
	}
	b.late.log, b.late.works = config.Log, works
	return b
}

// up notes that forward i is reached at public.
func (b *board) up(i int, public string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(i, answer{known: true, public: public})
	b.tell()
}

// refused notes why forward i isn't bound; final says that asking again won't
// help. The result is not nil if the agent has no reason to go on: a permanent
// error that says why.
func (b *board) refused(i int, err error, final bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(i, answer{known: true, err: err, final: final})
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

// note notes the answer for forward i. Holds b.mu.
func (b *board) note(i int, a answer) {
	if !a.same(b.answers[i]) {
		b.late.stop() // and see what else comes
	}
	b.answers[i] = a
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
	b.due()
}

// tell reports if it is due and there is news. Holds b.mu.
func (b *board) tell() {
	if !b.due() {
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

// now is how the forwards stand. One whose link is gone has neither a Public nor an
// Err, unless the others have had their answers for a while.
func (b *board) now() []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.statuses()
}

func (b *board) statuses() []Status {
	statuses := make([]Status, len(b.forwards))
	for i, f := range b.forwards {
		a := b.answers[i]
		statuses[i] = Status{Forward: f, Public: a.public, Err: a.err, Final: a.final, Waits: !a.known}
		if !a.known && b.late.overdue {
			statuses[i].Err = b.late.why()
		}
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
