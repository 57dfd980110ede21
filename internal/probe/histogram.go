package probe

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram holds the round trips in nanoseconds, to three digits, from 1 µs to
// a minute; longer ones count as a minute.
func Histogram(all ...Series) *hdrhistogram.Histogram {
	const least, most = int64(time.Microsecond), int64(time.Minute)
	h := hdrhistogram.New(least, most, 3)
	for _, series := range all {
		for _, sample := range series.Samples {
			if !sample.Lost() {
				// It can't fail within the range.
				_ = h.RecordValue(min(max(int64(sample.RoundTrip()), least), most))
			}
		}
	}
	return h
}
