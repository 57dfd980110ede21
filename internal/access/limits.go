package access

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits bound what a key uses at a time, over all its links. 0 is no limit of
// the key's own: the relay's hold anyway.
type Limits struct {
	Forwards int // bound ports, TCP and UDP together
	Conns    int // TCP connections
	Flows    int // UDP flows
	NewFlows int // UDP flows begun a second

	Bandwidth        int64 // bits a second each way, of payload
	ForwardBandwidth int64 // likewise, of each forward
}

// set obeys the option of a limit: max-forwards="4", max-connections="100",
// max-flows="500", max-new-flows="20", max-bandwidth="10M" and
// max-forward-bandwidth="2M".
func (l *Limits) set(name, value string) (known bool, err error) {
	counts := map[string]*int{
		"max-forwards": &l.Forwards, "max-connections": &l.Conns, "max-flows": &l.Flows, "max-new-flows": &l.NewFlows,
	}
	if count := counts[name]; count != nil {
		*count, err = strconv.Atoi(value)
		if err != nil || *count < 1 || *count > maxCount {
			return true, fmt.Errorf("%s %s: want a number from 1 to %d", name, quote(value), maxCount)
		}
		return true, nil
	}
	rates := map[string]*int64{"max-bandwidth": &l.Bandwidth, "max-forward-bandwidth": &l.ForwardBandwidth}
	rate := rates[name]
	if rate == nil {
		return false, nil
	}
	if *rate, err = ParseBandwidth(value); err != nil {
		return true, fmt.Errorf("%s %w", name, err)
	}
	return true, nil
}

// ParseBandwidth reads bits per second, with k, M or G for thousands, millions
// and thousands of millions: "10M" is 10 Mbit/s.
func ParseBandwidth(text string) (int64, error) {
	digits, unit := text, int64(1)
	for suffix, factor := range map[string]int64{"k": 1e3, "m": 1e6, "g": 1e9} {
		if found, ok := strings.CutSuffix(strings.ToLower(text), suffix); ok {
			digits, unit = found, factor
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > maxRate/unit || n*unit < 8000 {
		return 0, fmt.Errorf("%s: want bits per second from 8k to 1000G, as in 500k, 10M or 1G", quote(text))
	}
	return n * unit, nil
}

// String lists the limits that there are, as options.
func (l Limits) String() string {
	var texts []string
	add := func(name string, value int64) {
		if value != 0 {
			texts = append(texts, fmt.Sprintf(`%s="%d"`, name, value))
		}
	}
	add("max-forwards", int64(l.Forwards))
	add("max-connections", int64(l.Conns))
	add("max-flows", int64(l.Flows))
	add("max-new-flows", int64(l.NewFlows))
	add("max-bandwidth", l.Bandwidth)
	add("max-forward-bandwidth", l.ForwardBandwidth)
	return strings.Join(texts, ",")
}
