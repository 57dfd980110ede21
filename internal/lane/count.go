package lane

import (
	"fmt"
	"strconv"
)

// CopyCount is on how many lanes each datagram is sent, 0 for as many as the
// lanes' losses ask for. A person writes it as a number or as auto.
type CopyCount int

// UnmarshalText reads auto, or a number from 1 to MaxCopies.
func (c *CopyCount) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*c = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > MaxCopies {
		return fmt.Errorf("%q is not auto or a number from 1 to %d", text, MaxCopies)
	}
	*c = CopyCount(n)
	return nil
}
