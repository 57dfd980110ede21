package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// options are what stands in front of a key and concerns the relay.
type options struct {
	forwarding bool     // binding and connecting are permitted at all
	listen     []Permit // what may be bound; empty: everything
	open       []Permit // what may be connected to; empty: nothing
	from       *origins // nil: from anywhere
	expiry     time.Time
	noTouch    bool     // a security key needn't be touched
	authority  bool     // the key is a certification authority
	principals []string // whom its certificates may be for; nil: the user name
	limits     Limits
}

// What sshd knows about things the relay hasn't got: shells, terminals, other
// kinds of forwarding.
var (
	harmlessFlags = []string{
		"agent-forwarding", "no-agent-forwarding", "x11-forwarding", "no-x11-forwarding",
		"pty", "no-pty", "user-rc", "no-user-rc", "no-verify-required",
	}
	harmlessValues = []string{"command", "environment", "tunnel"}
)

// flags are the options without a value. As in sshd a later one overrides an
// earlier one.
var flags = map[string]func(*options){
	"restrict":           func(o *options) { o.forwarding = false },
	"port-forwarding":    func(o *options) { o.forwarding = true },
	"no-port-forwarding": func(o *options) { o.forwarding = false },
	"no-touch-required":  func(o *options) { o.noTouch = true },
	"touch-required":     func(o *options) { o.noTouch = false },
	"cert-authority":     func(o *options) { o.authority = true },
}

// parseOptions reads the options of a line. warnings are about options that
// are obeyed but can't mean what was intended.
func parseOptions(text string) (o options, warnings []string, err error) {
	o.forwarding = true
	for text != "" {
		var name, value string
		var hasValue bool
		if name, value, hasValue, text, err = nextOption(text); err != nil {
			return options{}, nil, err
		}
		lower := strings.ToLower(name)
		flag, isFlag := flags[lower]
		switch {
		case isFlag && !hasValue:
			flag(&o)
		case !hasValue && slices.Contains(harmlessFlags, lower):
		case hasValue && slices.Contains(harmlessValues, lower):
		case hasValue:
			names, err := o.set(lower, value)
			if err != nil {
				return options{}, nil, err
			}
			for _, n := range names {
				warnings = append(warnings, fmt.Sprintf("from pattern %s names a host and matches nothing, as the relay looks up no names", quote(n)))
			}
		case lower == "verify-required":
			return options{}, nil, errors.New("option verify-required is not supported yet")
		default:
			return options{}, nil, unknownOption(name)
		}
	}
	return o, warnings, nil
}

// set obeys an option with a value. names are the patterns of from that match
// nothing.
func (o *options) set(name, value string) (names []string, err error) {
	var permit Permit
	switch name {
	case "permitlisten":
		if permit, err = parsePermit(value); err != nil {
			return nil, fmt.Errorf("permitlisten %s: %w", quote(value), err)
		}
		o.listen = append(o.listen, permit)
	case "permitopen":
		if permit, err = parseOpen(value); err != nil {
			return nil, err
		}
		o.open = append(o.open, permit)
	case "from":
		if o.from != nil {
			return nil, errors.New("option from stands there twice: join the patterns with commas")
		}
		o.from, names, err = parseOrigins(value)
		return names, err
	case "expiry-time":
		expiry, err := parseExpiry(value)
		if err != nil {
			return nil, err
		}
		if o.expiry.IsZero() || expiry.Before(o.expiry) {
			o.expiry = expiry
		}
	case "principals":
		if o.principals != nil {
			return nil, errors.New("option principals stands there twice: join the names with commas")
		}
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name != "" {
				o.principals = append(o.principals, name)
			}
		}
		if o.principals == nil {
			return nil, errors.New("option principals names nobody")
		}
	default:
		known, err := o.limits.set(name, value)
		if !known {
			return nil, unknownOption(name)
		}
		return nil, err
	}
	return nil, nil
}

func unknownOption(name string) error {
	return fmt.Errorf("option %s is not known, or not in this form", quote(name))
}

// nextOption takes name or name="value" off the front of text, and the comma
// after it. As in sshd a comma may also end the options.
func nextOption(text string) (name, value string, hasValue bool, rest string, err error) {
	end := strings.IndexAny(text, `=,"`)
	if end < 0 {
		end = len(text)
	}
	name, rest = text[:end], text[end:]
	if name == "" {
		return "", "", false, "", errors.New("an option is empty: options are joined with single commas")
	}
	if rest, hasValue = strings.CutPrefix(rest, "="); hasValue {
		if value, rest, err = unquote(rest); err != nil {
			return "", "", false, "", fmt.Errorf("option %s: %w", quote(name), err)
		}
	}
	if rest == "" {
		return name, value, hasValue, "", nil
	}
	if rest[0] != ',' {
		return "", "", false, "", fmt.Errorf("option %s is followed by %s: want a comma or a space", quote(name), quote(rest[:1]))
	}
	return name, value, hasValue, rest[1:], nil
}

// unquote takes a quoted value off the front of text. A backslash escapes a
// quote and is itself otherwise.
func unquote(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errors.New("its value must stand in double quotes")
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], nil
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", errors.New("its closing quote is missing")
}

// parseExpiry reads YYYYMMDD or YYYYMMDDHHMM[SS], in UTC with a "Z" at its end
// and in the system's time zone without.
func parseExpiry(text string) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	layout := "20060102150405"
	if n := len(digits); n == 8 || n == 12 || n == 14 {
		if t, err := time.ParseInLocation(layout[:n], digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("expiry-time %s is not a date or time: want it as in 20301231 or 203012312359Z", quote(text))
}
