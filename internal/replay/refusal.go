package replay

import (
	"errors"
	"fmt"

	"funnel/internal/mux"
	"funnel/proto"
)

// Refusal is how a relay ends a lane on purpose: it doesn't take it, or closes the
// session. That it has forgotten the session isn't one: another lane may begin the
// next at once.
type Refusal struct {
	Final bool // another lane would be refused, too
	Cause error
}

func (r *Refusal) Error() string { return r.Cause.Error() }
func (r *Refusal) Unwrap() error { return r.Cause }

// isUnwanted says whether err ended a lane for which the relay is to be left alone for
// longer each time: it has refused it, or talks nonsense, which won't soon change.
func isUnwanted(err error) bool {
	_, refused := errors.AsType[*Refusal](err)
	return refused || errors.Is(err, proto.ErrMalformed) || errors.Is(err, mux.ErrProtocol)
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
