package sshconfig

import (
	"errors"
	"fmt"
	"strings"

	"funnel/internal/wildcard"
)

// verdict is whether the lines of a block are for this host.
type verdict int

const (
	no verdict = iota
	yes
	// undecided is a Match whose outcome only ssh itself could tell.
	undecided
)

// decideMatch evaluates the criteria of a Match line, all of which have to hold.
// One that does not hold decides, whatever the others are.
func (r *reader) decideMatch(words []string) (verdict, error) {
	if len(words) == 0 {
		return no, errors.New("no criterion follows Match")
	}
	result := yes
	for len(words) > 0 {
		name, argument, rest, err := nextCriterion(words)
		if err != nil {
			return no, err
		}
		words = rest
		positive, negated := strings.CutPrefix(name, "!")
		holds := r.decideCriterion(positive, argument)
		if negated && holds != undecided {
			holds = yes - holds
		}
		switch holds {
		case no:
			return no, nil
		case undecided:
			result = undecided
		}
	}
	return result, nil
}

// nextCriterion takes one criterion off the words: "all" and its like stand
// alone, the others have a list, also in the form "host=a,b".
func nextCriterion(words []string) (name, argument string, rest []string, err error) {
	name, argument, attached := strings.Cut(words[0], "=")
	name, rest = strings.ToLower(name), words[1:]
	switch strings.TrimPrefix(name, "!") {
	case "all", "canonical", "final":
		return name, "", rest, nil
	}
	if !attached {
		if len(rest) == 0 {
			return "", "", nil, fmt.Errorf("nothing follows Match %s", name)
		}
		argument, rest = rest[0], rest[1:]
	}
	return name, argument, rest, nil
}

func (r *reader) decideCriterion(name, list string) verdict {
	patterns := strings.Split(list, ",")
	switch name {
	case "all":
		return yes
	case "host":
		return verdictOf(wildcard.MatchList(patterns, r.currentHostName()))
	case "originalhost":
		return verdictOf(wildcard.MatchList(patterns, r.alias))
	case "localuser":
		return verdictOf(wildcard.MatchList(patterns, r.env.user))
	}
	return undecided
}

func verdictOf(matches bool) verdict {
	if matches {
		return yes
	}
	return no
}

// currentHostName is what a Match looks at: the HostName read so far.
func (r *reader) currentHostName() string {
	if r.hostName == "" {
		return r.alias
	}
	name, err := expand(r.hostName, map[byte]string{'h': r.alias})
	if err != nil {
		return r.alias
	}
	return name
}
