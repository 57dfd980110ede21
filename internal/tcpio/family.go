package tcpio

import (
	"errors"
	"syscall"
)

// IsFamilyMissing says whether an error of Listen or Dial, of TCP or UDP, means that
// this host lacks the address family or the address, as one without IPv6 lacks ::1.
func IsFamilyMissing(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) ||
		errors.Is(err, syscall.EPROTONOSUPPORT)
}
