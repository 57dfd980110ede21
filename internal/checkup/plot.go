package checkup

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight = 760.0, 300.0
	plotLeft, plotRight   = 60.0, 190.0 // the legend is to the right
	plotTop, plotBottom   = 15.0, 45.0
	areaWidth, areaHeight = plotWidth - plotLeft - plotRight, plotHeight - plotTop - plotBottom
	legendLine, axisText  = 20.0, 18.0
	plotSteps, plotTicks  = 150, 5
)

// colours of the ways: Okabe and Ito's, which the colour-blind can tell apart.
var colours = map[Way]string{PlainTCP: "#e69f00", PlainUDP: "#56b4e9", FunnelTCP: "#d55e00", FunnelUDP: "#0072b2"}

// percentiles are marked on the horizontal axis, which gives each nine more the
// same room: what is rare is what players remember.
var percentiles = []float64{50, 90, 99, 99.9}

// plot draws each way's round trips over their percentiles, as an SVG image;
// "" if there is nothing to draw.
func (c *Condition) plot() template.HTML {
	var most time.Duration
	var shown []*Measured
	for _, way := range ways {
		if m := c.find(way); m != nil && m.histogram != nil {
			shown = append(shown, m)
			most = max(most, time.Duration(m.histogram.ValueAtQuantile(99.9)))
		}
	}
	if len(shown) == 0 {
		return ""
	}
	step := roundUp(most / plotTicks)
	top := step * (most/step + 1)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label="round trips by percentile">`, plotWidth, plotHeight)
	for y := time.Duration(0); y <= top; y += step {
		at := plotTop + areaHeight*(1-float64(y)/float64(top))
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#e4e4e4"/>`, plotLeft, plotLeft+areaWidth, at, at)
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%g ms</text>`, plotLeft-6, at+4, y.Seconds()*1000)
	}
	for _, p := range percentiles {
		at := plotLeft + areaWidth*tail(p)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#e4e4e4"/>`, at, at, plotTop, plotTop+areaHeight)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">p%g</text>`, at, plotTop+areaHeight+axisText, p)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">share of the messages that took no longer</text>`, plotLeft+areaWidth/2, plotHeight-6)
	for i, m := range shown {
		var points strings.Builder
		for step := range plotSteps + 1 {
			x := float64(step) / plotSteps
			y := float64(m.histogram.ValueAtQuantile(percentileAt(x))) / float64(top)
			fmt.Fprintf(&points, "%.1f,%.1f ", plotLeft+areaWidth*x, plotTop+areaHeight*(1-min(1, y)))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`, colours[m.Way], points.String())
		at := plotTop + 10 + legendLine*float64(i)
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%g" y2="%g" stroke="%s" stroke-width="3"/>`, plotLeft+areaWidth+12, plotLeft+areaWidth+32, at, at, colours[m.Way])
		fmt.Fprintf(&b, `<text x="%g" y="%g">%s</text>`, plotLeft+areaWidth+38, at+4, m.Way.title())
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // #nosec G203 -- numbers, and names of ours
}

// mostNines is how many nines the axis shows.
const mostNines = 3

// tail is where a percentile is on the axis, from 0 to 1.
func tail(percentile float64) float64 { return -math.Log10(1-percentile/100) / mostNines }

// percentileAt is what is there.
func percentileAt(x float64) float64 { return 100 * (1 - math.Pow(10, -mostNines*x)) }
