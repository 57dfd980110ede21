package proto

import (
	"errors"
	"fmt"
)

// Code says why a peer refused something. Codes from 128 on are free for
// private use.
type Code byte

// The codes.
const (
	CodeOK             Code = 0 // not an error
	CodeVersion        Code = 1 // no version in common
	CodeUnknownSession Code = 2 // the token names no session of this key
	CodeDenied         Code = 3 // this key, or the relay's operator, doesn't allow it; asking again won't help
	CodeInUse          Code = 4 // the address is taken; it may come free
	CodeLimit          Code = 5 // a limit of the relay is reached
	CodeMalformed      Code = 6 // the message couldn't be understood
	CodeFailed         Code = 7 // the relay's system refused it; the text says what
	CodeClosing        Code = 8 // the peer is going away on purpose
	CodeOutlived       Code = 9 // the same agent, started again later, has the port; asking again won't help
)

var codeNames = map[Code]string{
	CodeOK:             "ok",
	CodeVersion:        "no common version",
	CodeUnknownSession: "unknown session",
	CodeDenied:         "denied",
	CodeInUse:          "address in use",
	CodeLimit:          "limit reached",
	CodeMalformed:      "malformed message",
	CodeFailed:         "failed",
	CodeClosing:        "closing",
	CodeOutlived:       "outlived",
}

// String is a short English name for c.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", byte(c))
}

// Error is a refusal as the peer gave it.
type Error struct {
	Code Code
	Text string // a sentence for a person; may be empty
}

// Error implements error.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// Is makes errors.Is(err, &Error{Code: c}) compare codes alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Text == ""
}

// ErrMalformed is what every decoding error of this package wraps: the peer
// broke the format, and the bytes that follow can't be trusted.
var ErrMalformed = errors.New("malformed message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
