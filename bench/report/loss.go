package report

import (
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// lossPlot shows the share on time within 20 ms by the rate at which the home
// link loses packets, of the scenarios that differ in nothing else. Nil without.
func lossPlot(r *Report) *plot.Plot {
	points := make(map[string]plotter.XYs)
	styles := make(map[string]Row)
	var order []string
	top := 3.0
	rates := make(map[float64]bool)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Name != "clean" && !strings.HasPrefix(s.Name, "loss-") {
			continue
		}
		for _, row := range s.Rows {
			share := row.OnTime[1]
			if share.Count == 0 || row.Sent == 0 {
				continue
			}
			if _, seen := styles[row.Way]; !seen {
				order = append(order, row.Way)
				styles[row.Way] = row
			}
			// As in the distributions: half a sample is held back.
			y := nines(min(share.Median, 1-0.5/float64(row.Sent)))
			points[row.Way] = append(points[row.Way], plotter.XY{X: 100 * s.HomeLink.Loss, Y: y})
			top = max(top, y)
			rates[100*s.HomeLink.Loss] = true
		}
	}
	if len(rates) < 2 {
		return nil
	}
	p := newPlot("Share of what was sent that is back within 20 ms of the path's floor", "packets lost on the home link each way, %", "on time")
	p.Add(gridLines{horizontal: true})
	var ticks []plot.Tick
	for rate := range rates {
		ticks = append(ticks, plot.Tick{Value: rate, Label: short(rate)})
	}
	slices.SortFunc(ticks, func(a, b plot.Tick) int { return int(1000 * (a.Value - b.Value)) })
	for _, way := range order {
		line := &plotter.Line{XYs: points[way], LineStyle: lineOf(styles[way])}
		dots := &plotter.Scatter{XYs: points[way], GlyphStyle: draw.GlyphStyle{Color: line.Color, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}}
		p.Add(line, dots)
		p.Legend.Add(way, line)
	}
	p.X.Min, p.X.Max = -0.1, ticks[len(ticks)-1].Value*1.5 // room for the legend
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Min, p.Y.Max = 0, top*1.03
	p.Y.Tick.Marker = ninesTicks{}
	p.Legend.Top = true
	return p
}
