package lab

import (
	"slices"
	"strings"

	"funnel/bench/system"
)

// way is one system and one network in a scenario.
type way struct {
	system  *system.System
	network string // udp or tcp
	// control is direct UDP without the bulk transfer that the others have
	// beside them. It tells whether the machine was quiet.
	control bool
}

// name is how reports call it.
func (w way) name() string {
	name := w.system.Name + " " + strings.ToUpper(w.network)
	if w.control {
		name += " alone"
	}
	return name
}

// isControl says that the way's datagrams show how quiet the machine is.
func (w way) isControl(s *Scenario) bool {
	return w.system.Name == "direct" && w.network == "udp" && (w.control || s.Beside == 0)
}

// ways are the ways of a scenario, direct first.
func (o *Options) ways(s *Scenario) []way {
	patterns := s.Systems
	if patterns == nil {
		patterns = everyday
	}
	var ways []way
	for _, system := range o.Systems {
		names := []string{system.Name}
		if slices.Contains(o.Described, system.Name) {
			names = append(names, "described")
		}
		if !matchesAny(patterns, names...) {
			continue
		}
		switch s.Kind {
		case Flood:
			if system.UDP {
				ways = append(ways, way{system: system, network: "udp"})
			}
		case Bulk:
			if system.TCP {
				ways = append(ways, way{system: system, network: "tcp"})
			}
		case Idle:
			network := "tcp"
			if system.UDP {
				network = "udp"
			}
			ways = append(ways, way{system: system, network: network})
		case Play:
			ways = append(ways, playWays(s, system)...)
		}
	}
	return ways
}

func playWays(s *Scenario, system *system.System) []way {
	var ways []way
	if system.UDP {
		if system.Name == "direct" && s.Beside != 0 {
			ways = append(ways, way{system: system, network: "udp", control: true})
		}
		ways = append(ways, way{system: system, network: "udp"})
	}
	// A variant of UDP's modes is no variant of TCP.
	if system.TCP && s.flows() == 1 && !system.Variant {
		ways = append(ways, way{system: system, network: "tcp"})
	}
	return ways
}
