package agent

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"funnel/internal/keys"
	"funnel/internal/trust"
)

// What a retry can't mend. An error for which Permanent is true wraps one of
// these.
var (
	// ErrAuth: the relay completed a login and refused every key, or the key
	// stays locked.
	ErrAuth = errors.New("key refused")
	// ErrHostKey: the relay's host key isn't the one trusted.
	ErrHostKey = errors.New("host key not trusted")
	// ErrForward: the relay forbids a forward, or can't carry it at all.
	ErrForward = errors.New("forward refused")
	// ErrOutlived: the same agent was started again, later, and has all ports.
	ErrOutlived = errors.New("outlived")
	// ErrIncompatible: the two ends share no algorithm to speak SSH with.
	ErrIncompatible = errors.New("no algorithm in common")
)

// permanentError is a failure that a retry can't mend.
type permanentError struct {
	kind  error // one of the above
	cause error
}

// Error is the cause alone: it is a whole sentence for the user, who learns
// the kind from the exit status.
func (e *permanentError) Error() string   { return e.cause.Error() }
func (e *permanentError) Unwrap() []error { return []error{e.kind, e.cause} }

// unreachedError is a dial that didn't reach the relay.
type unreachedError struct{ error }

func (e *unreachedError) Unwrap() error { return e.error }

// Permanent reports whether a retry can't mend err: the key was refused, the
// host key isn't trusted, or no forward is allowed. Everything else, network
// errors above all, is worth another try.
func Permanent(err error) bool {
	return is[*permanentError](err)
}

// classify turns an error of the SSH handshake into a permanent one when it is,
// and leaves it alone otherwise.
func classify(err error, user, address string) error {
	switch {
	case isHostKeyError(err):
		return &permanentError{ErrHostKey, err}
	case is[*keys.PassphraseError](err):
		return &permanentError{ErrAuth, err}
	case isKeyRefusal(err):
		return &permanentError{ErrAuth, fmt.Errorf("log in to %s as %q: the relay accepts none of the keys offered", address, user)}
	case isTooManyKeys(err):
		return &permanentError{ErrAuth, fmt.Errorf("log in to %s as %q: the relay broke off after too many keys; name the right one with --identity", address, user)}
	}
	if negotiation, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
		kind := ErrIncompatible
		if negotiation.What == "host key" {
			kind = ErrHostKey
		}
		return &permanentError{kind, fmt.Errorf("talk to %s: %w", address, err)}
	}
	return err
}

// hungUp is an error of a login that went no further than to a connection. Those of
// the system are one or another by chance, as the end was seen in reading or in
// writing, and say nothing to a person.
func hungUp(address string) error {
	return fmt.Errorf("log in to %s: the other end hung up before it showed its host key: perhaps it is no SSH server, "+
		"or it takes nobody from here for a while; its log says more", address)
}

// isHangUp reports whether the other end closed the connection, in order or not.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isHostKeyError(err error) bool {
	return is[*trust.UnknownError](err) || is[*trust.ChangedError](err) || is[*trust.PinError](err) ||
		is[*trust.RevokedError](err) || is[*trust.CertificateError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isKeyRefusal reports whether a login ran to its end and no method was
// accepted. x/crypto/ssh has no type for it; its text has been the same since
// 2011, and a connection lost on the way gives another error.
func isKeyRefusal(err error) bool {
	return strings.Contains(err.Error(), "ssh: unable to authenticate")
}

// isTooManyKeys reports whether the relay disconnected (RFC 4253 §11.1, reason
// 2) because of its MaxAuthTries, as OpenSSH does in these words.
func isTooManyKeys(err error) bool {
	return strings.Contains(err.Error(), "Too many authentication failures")
}
