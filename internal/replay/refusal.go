package replay

import (
	"errors"
	"fmt"

	"funnel/proto"
)

// Refusal is how a relay ends a lane on purpose: it doesn't take it, answers what
// isn't a welcome, or closes the session. That it has forgotten the session isn't
// one: another lane may begin the next at once.
type Refusal struct {
	Final bool // another lane would be refused, too
	Cause error
}

func (r *Refusal) Error() string { return r.Cause.Error() }
func (r *Refusal) Unwrap() error { return r.Cause }

// isRefusal says whether err ended a lane that the relay is to be left alone for,
// for longer each time.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*Refusal](err)
	return ok
}

// isFinal says whether err is a refusal for good.
func isFinal(err error) bool {
	no, ok := errors.AsType[*Refusal](err)
	return ok && no.Final
}

// refusal is the error of a welcome that is a refusal.
func refusal(no error) error {
	final := false
	for _, code := range []proto.Code{proto.CodeVersion, proto.CodeDenied, proto.CodeMalformed} {
		final = final || errors.Is(no, &proto.Error{Code: code})
	}
	return &Refusal{Final: final, Cause: fmt.Errorf("relay refused the lane: %w", no)}
}
