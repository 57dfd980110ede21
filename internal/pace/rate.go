package pace

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is a number of bytes per second, which people write in bits: as 16M or
// 16Mbit for 16 million bits a second, with k, M or G. The zero Rate is none.
type Rate uint64

// units are the suffixes of a Rate and the bits they stand for.
var units = map[string]float64{"": 1, "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "g": 1e9, "G": 1e9}

// UnmarshalText reads a rate of at least 64 kbit/s: less would not carry SSH's
// own messages in time.
func (r *Rate) UnmarshalText(text []byte) error {
	number := strings.TrimSuffix(strings.TrimSuffix(string(text), "/s"), "bit")
	digits := strings.TrimRight(number, "kKmMgG")
	unit, known := units[number[len(digits):]]
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || !(value*unit >= leastRate*8 && value*unit <= mostRate*8) {
		return fmt.Errorf("%q is not a rate from 64k to 100G bits per second, as in 16M", text)
	}
	*r = Rate(value * unit / 8)
	return nil
}

// String is the rate as UnmarshalText takes it.
func (r Rate) String() string { return strconv.FormatUint(uint64(r)*8, 10) }
