package access

import (
	"fmt"
	"strings"
)

// Limit is who or what forbids something.
type Limit string

// The limits.
const (
	LimitKey      Limit = "key"      // the key's options in the authorized keys
	LimitOperator Limit = "operator" // the policy of the relay's operator
	LimitRelay    Limit = "relay"    // nobody may, as the relay can't do it
)

// Denied says that something isn't permitted. Its text may be shown to the
// peer: it names no file and nothing that the peer couldn't find out by trying.
type Denied struct {
	Network string // "tcp" or "udp"
	Host    string // as it was asked for
	Port    uint16 // as it was asked for
	Limit   Limit

	text string
}

// Error is one sentence that names the port and the limit.
func (d *Denied) Error() string { return d.text }

// describeBind names what was to be bound.
func describeBind(network, host string, port uint16) string {
	if port == 0 {
		return fmt.Sprintf("any %s port on %s", strings.ToUpper(network), describeHost(host))
	}
	return fmt.Sprintf("%s port %d on %s", strings.ToUpper(network), port, describeHost(host))
}
