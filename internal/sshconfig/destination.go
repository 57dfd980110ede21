package sshconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// ParseDestination reads "[user@]host[:port]", in which an IPv6 address with a
// port stands in brackets and one without may, and "ssh://[user@]host[:port]".
// The host comes without brackets. The user is empty and the port 0 when they
// are not named; a named port is 1 to 65535. An error quotes the text and shows
// an example.
func ParseDestination(text string) (user, host string, port uint16, err error) {
	user, host, port, err = parseDestination(text)
	if err != nil {
		return "", "", 0, fmt.Errorf("destination %q: %w; it looks like tunnel@relay.example.com:2222", text, err)
	}
	return user, host, port, nil
}

func parseDestination(text string) (user, host string, port uint16, err error) {
	const scheme = "ssh://"
	isURI := len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme)
	if isURI {
		text = strings.TrimSuffix(text[len(scheme):], "/")
	}
	if strings.Contains(text, "://") {
		return "", "", 0, errors.New("ssh:// is the only form with slashes")
	}
	// The last @ ends the user's name, as in ssh: names with an @ exist.
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		if user, err = parseUser(text[:at], isURI); err != nil {
			return "", "", 0, err
		}
		text = text[at+1:]
	}
	host, portText, err := splitPort(text)
	if err != nil {
		return "", "", 0, err
	}
	if port, err = parsePort(portText); err != nil {
		return "", "", 0, err
	}
	return user, host, port, checkHost(host)
}

// parseUser refuses what ssh refuses, as the name may end in paths.
func parseUser(user string, isURI bool) (string, error) {
	if isURI {
		// ssh:// may have parameters and passwords there; neither is for us.
		decoded, err := url.PathUnescape(user)
		if err != nil {
			return "", errors.New("the user's name has a broken % escape")
		}
		if strings.ContainsAny(user, ":;") {
			return "", errors.New("a user's name has neither password nor parameters")
		}
		user = decoded
	}
	switch {
	case user == "":
		return "", errors.New("no user stands before the @")
	case strings.HasPrefix(user, "-"):
		return "", errors.New("a user's name does not begin with -")
	case strings.ContainsFunc(user, unfit):
		return "", errors.New("the user's name has a character that no name has")
	}
	return user, nil
}

// splitPort takes the brackets off; the port is empty when none is named.
func splitPort(text string) (host, port string, err error) {
	if inner, bracketed := strings.CutPrefix(text, "["); bracketed {
		host, rest, closed := strings.Cut(inner, "]")
		if !closed {
			return "", "", errors.New("the bracket of an address is not closed")
		}
		if rest == "" {
			return host, "", nil
		}
		port, colon := strings.CutPrefix(rest, ":")
		if !colon || port == "" {
			return "", "", errors.New("only a colon and a port follow the bracket")
		}
		return host, port, nil
	}
	host, port, colon := strings.Cut(text, ":")
	switch {
	case !colon:
		return host, "", nil
	case isIPv6(text):
		return text, "", nil
	case strings.Contains(port, ":"):
		return "", "", errors.New("an IPv6 address with a port stands in brackets, as in [2001:db8::1]:2222")
	case port == "":
		return "", "", errors.New("no port follows the colon")
	}
	return host, port, nil
}

func parsePort(text string) (uint16, error) {
	if text == "" {
		return 0, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("port %q is no number from 1 to 65535", text)
	}
	return uint16(port), nil
}

func checkHost(host string) error {
	switch {
	case host == "":
		return errors.New("it names no host")
	case isIPv6(host):
		return nil
	case strings.HasPrefix(host, "-"):
		return errors.New("a host's name does not begin with -")
	case strings.ContainsFunc(host, unfit) || strings.ContainsAny(host, ":/?#%@[],*!="):
		return fmt.Errorf("host %q has a character that no host's name has", host)
	}
	return nil
}

func isIPv6(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && address.Is6() &&
		!strings.ContainsFunc(address.Zone(), unfit) && !strings.ContainsAny(address.Zone(), "[]@:/%")
}

// unfit tells of characters that ssh allows neither in a user's nor in a host's
// name: those with a meaning to a shell.
func unfit(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || c == unicode.ReplacementChar || strings.ContainsRune("'`\"$\\;&<>|(){}", c)
}
