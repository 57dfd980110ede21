package report

import (
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"funnel/internal/probe"
)

// bins is how many columns a time line has: two pixels each.
const bins = 380

// timeline draws one series: for each column from the fastest to the slowest
// round trip, and in red above what was lost.
type timeline struct {
	series probe.Series
	name   string
	color  draw.LineStyle
}

// bin is what happened to the messages of one column.
type bin struct {
	least, most float64 // ms; most 0 if nothing came back
	lost        bool
}

func (t *timeline) bins() (all []bin, width time.Duration) {
	samples := t.series.Samples
	length := samples[len(samples)-1].Intended + 1
	count := min(bins, len(samples))
	all = make([]bin, count)
	for _, sample := range samples {
		b := &all[int(float64(sample.Intended)/float64(length)*float64(count))]
		if sample.Lost() {
			b.lost = true
			continue
		}
		trip := ms(sample.RoundTrip())
		if b.most == 0 || trip < b.least {
			b.least = trip
		}
		b.most = max(b.most, trip)
	}
	return all, length / time.Duration(count)
}

// Plot implements plot.Plotter.
func (t *timeline) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	all, step := t.bins()
	label := p.Legend.TextStyle
	label.YAlign = draw.YTop
	c.FillText(label, vg.Point{X: c.Min.X + vg.Points(6), Y: c.Max.Y - vg.Points(5)}, t.name)
	lost := draw.LineStyle{Color: red, Width: vg.Points(1.2)}
	for i, b := range all {
		at := x((time.Duration(i)*step + step/2).Seconds())
		if b.most > 0 {
			low, high := y(b.least)-vg.Points(0.7), y(b.most)+vg.Points(0.7)
			c.StrokeLine2(t.color, at, max(low, c.Min.Y), at, min(high, c.Max.Y))
		}
		if b.lost {
			c.StrokeLine2(lost, at, c.Max.Y-vg.Points(4), at, c.Max.Y)
		}
	}
}

// timelinePlots are one strip for each way, all with the same axes: the first
// flow of the first round that counts.
func timelinePlots(s *Scenario) []*plot.Plot {
	least, most, last := math.Inf(1), 0.0, 0.0
	var plots []*plot.Plot
	for _, row := range s.Rows {
		if len(row.All) == 0 || len(row.All[0].Samples) == 0 {
			continue
		}
		style := draw.LineStyle{Color: colorOf(row.System), Width: vg.Points(1.3)}
		t := &timeline{row.All[0], row.Way, style}
		all, _ := t.bins()
		for _, b := range all {
			if b.most > 0 {
				least, most = min(least, b.least), max(most, b.most)
			}
		}
		samples := row.All[0].Samples
		last = max(last, samples[len(samples)-1].Intended.Seconds())
		p := newPlot("", "", "ms")
		p.Y.Tick.Label.Font.Size = vg.Points(8)
		p.X.Tick.Label.Font.Size = vg.Points(8)
		p.Add(gridLines{horizontal: true}, t)
		plots = append(plots, p)
	}
	if most == 0 {
		return nil
	}
	for i, p := range plots {
		// Above, where nothing is, stand the name and what was lost.
		low, high := least*0.9, max(most, least*2)
		setLog(&p.Y, low, high*math.Pow(high/low, 0.5), false)
		p.X.Min, p.X.Max = 0, last
		p.X.Tick.Marker = secondTicks{labels: i == len(plots)-1}
		if i == len(plots)-1 {
			p.X.Label.Text = "seconds since the start; red: lost"
		}
	}
	plots[0].Title.Text = s.Name + ": round trips over time"
	return plots
}

// secondTicks are about ten, at whole numbers of seconds if there are as many.
type secondTicks struct{ labels bool }

// Ticks implements plot.Ticker.
func (t secondTicks) Ticks(least, most float64) []plot.Tick {
	step := 0.1
	for _, next := range []float64{0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600} {
		if (most-least)/step > 12 {
			step = next
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(least / step); i*step <= most; i++ {
		tick := plot.Tick{Value: i * step}
		if t.labels {
			tick.Label = short(i * step)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}
