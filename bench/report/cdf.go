package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"funnel/internal/probe"
)

// short is a number without needless digits.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// cdfPlot shows which share of what was sent was back after how long. The tail
// is stretched; a line that ends low lost the rest.
func cdfPlot(s *Scenario) *plot.Plot {
	p := newPlot(s.Name+": "+s.What, "round trip, ms", "share of what was sent that is back")
	p.Add(gridLines{vertical: true, horizontal: true})
	least, most, top := math.Inf(1), 0.0, 2.0
	for _, row := range s.Rows {
		points := distribution(row)
		if len(points) == 0 {
			continue
		}
		least, most = min(least, points[0].X), max(most, points[len(points)-1].X)
		top = max(top, points[len(points)-1].Y)
		line := &plotter.Line{XYs: points, LineStyle: lineOf(row)}
		p.Add(line)
		p.Legend.Add(row.Way, line)
	}
	if most == 0 {
		return nil
	}
	// On the right, where no line is, stands the legend.
	least, most = least*0.98, max(most*1.05, least*1.5)
	setLog(&p.X, least, most*math.Pow(most/least, 0.35), true)
	p.Y.Min, p.Y.Max = 0, top*1.03
	p.Y.Tick.Marker = ninesTicks{}
	p.Legend.Top = true
	return p
}

// distribution are the points of a row's line: milliseconds and nines.
func distribution(row Row) plotter.XYs {
	h := probe.Histogram(row.All...)
	if h.TotalCount() == 0 || row.Sent == 0 {
		return nil
	}
	// All of n samples is more than n can tell: half a sample is held back.
	most := 1 - 0.5/float64(row.Sent)
	var points plotter.XYs
	for _, bracket := range h.CumulativeDistributionWithTicks(20) {
		share := float64(bracket.Count) / float64(row.Sent)
		points = append(points, plotter.XY{X: float64(bracket.ValueAt) / 1e6, Y: nines(min(share, most))})
	}
	return points
}
