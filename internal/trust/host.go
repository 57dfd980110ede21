package trust

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// defaultPort is the port of SSH (RFC 4253, section 4.1), which known_hosts leaves
// unsaid.
const defaultPort = 22

// host is a host as known_hosts names it, in lower case as OpenSSH does.
type host struct {
	// name is "host" at port 22 and "[host]:port" elsewhere.
	name string
	// bare is without the port: the name that certificates use, and under which
	// a key is good for every port.
	bare string
}

func parseHost(hostport string) (host, error) {
	bare, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return host{}, fmt.Errorf("split host and port of %q: %w", hostport, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return host{}, fmt.Errorf("port %q of %q is no number from 0 to 65535", port, hostport)
	}
	if bare == "" || strings.ContainsFunc(bare, unfit) {
		return host{}, fmt.Errorf("host %q is no name that known_hosts can hold", bare)
	}
	bare = strings.ToLower(bare)
	if number == defaultPort {
		return host{bare, bare}, nil
	}
	return host{fmt.Sprintf("[%s]:%d", bare, number), bare}, nil
}

// unfit tells of characters that mean something else in a known_hosts line.
func unfit(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(",|*?!#@[]", c)
}
