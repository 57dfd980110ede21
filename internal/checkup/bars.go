package checkup

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// bar is a line of a histogram: how many round trips took from From to To, the
// latter excluded.
type bar struct {
	From, To time.Duration // To is 0 in the last: all that took longer
	Count    int64
}

// barsOf are bars of one round width that span from the least to the 99th
// percentile, and one more for what took longer.
func barsOf(h *hdrhistogram.Histogram) []bar {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	least, most := time.Duration(h.Min()), time.Duration(h.ValueAtQuantile(99))
	width := roundUp((most - least) / (bars - 1))
	from := least.Truncate(width)
	all := make([]bar, 0, bars+1)
	for len(all) < bars && from <= most {
		all = append(all, bar{From: from, To: from + width})
		from += width
	}
	all = append(all, bar{From: from})
	for _, b := range h.Distribution() {
		middle := time.Duration((b.From + b.To) / 2)
		at := min(int(max(0, middle-all[0].From)/width), len(all)-1)
		all[at].Count += b.Count
	}
	for all[len(all)-1].Count == 0 {
		all = all[:len(all)-1]
	}
	return all
}

// roundUp is the next of 0.1, 0.2, 0.5, 1, 2, 5 ms, and so on.
func roundUp(d time.Duration) time.Duration {
	for decade := 100 * time.Microsecond; ; decade *= 10 {
		for _, step := range []time.Duration{1, 2, 5} {
			if d <= step*decade {
				return step * decade
			}
		}
		if decade > math.MaxInt64/100 {
			return decade
		}
	}
}

// share is a bar's length, of most, in parts of a whole of so many.
func (b bar) share(most int64, whole int) int {
	if most == 0 {
		return 0
	}
	return int(math.Round(float64(b.Count) / float64(most) * float64(whole)))
}

func largest(all []bar) int64 {
	var most int64
	for _, b := range all {
		most = max(most, b.Count)
	}
	return most
}
