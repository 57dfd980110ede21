package probe

import (
	"fmt"
	"strings"
)

// Profile is the traffic of one player, each way.
type Profile struct {
	Name string
	Rate float64 // messages a second
	Size int     // bytes a message, without UDP or TCP headers
	Like string  // what sends so
}

// Profiles are rates and sizes that games use: the rate is the server's tick,
// the size spans from bare inputs to snapshots that just fit a datagram.
var Profiles = []Profile{
	{"sandbox", 20, 256, "building games with 20 ticks a second"},
	{"survival", 30, 512, "co-operative games, a world state at 30 Hz"},
	{"shooter", 60, 128, "most shooters; the default"},
	{"tournament", 128, 64, "servers with 128 ticks a second, inputs only"},
	{"snapshot", 60, 1200, "many players in view, datagrams filled to the MTU"},
	{"voice", 50, 160, "one speaker, 20 ms frames"},
}

// DefaultProfile is the name of the profile that is used when none is named.
const DefaultProfile = "shooter"

// FindProfile returns the profile of that name.
func FindProfile(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("no profile %q: the profiles are %s", name, strings.Join(names, ", "))
}
