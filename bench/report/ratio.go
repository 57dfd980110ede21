package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ratioPlot shows how each way's p50 and p99 stand to those of plain TCP over
// the same path. Nil if plain TCP was in no scenario.
func ratioPlot(r *Report) *plot.Plot {
	type dot struct {
		row      Row
		p50, p99 plotter.XYs
	}
	dots := make(map[string]*dot)
	var order, names []string
	least, most := 0.9, 1.2
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		tcp, ok := s.row("direct TCP")
		if !ok || tcp.P50.Median == 0 {
			continue
		}
		at := float64(len(names))
		names = append(names, s.Name)
		for _, row := range s.Rows {
			if row.P50.Count == 0 || row.Way == "direct TCP" || row.Way == "direct UDP alone" {
				continue
			}
			d := dots[row.Way]
			if d == nil {
				d = &dot{row: row}
				dots[row.Way] = d
				order = append(order, row.Way)
			}
			p50, p99 := row.P50.Median/tcp.P50.Median, row.P99.Median/tcp.P99.Median
			d.p50, d.p99 = append(d.p50, plotter.XY{X: at, Y: p50}), append(d.p99, plotter.XY{X: at, Y: p99})
			least, most = min(least, p50, p99), max(most, p50, p99)
		}
	}
	if len(names) == 0 {
		return nil
	}
	p := newPlot("Latency as a multiple of plain TCP's over the same path (ring: p50, disc: p99)", "", "times plain TCP")
	p.Add(gridLines{horizontal: true})
	one := &plotter.Line{XYs: plotter.XYs{{X: -0.5, Y: 1}, {X: float64(len(names)), Y: 1}}, LineStyle: draw.LineStyle{Color: ink, Width: vg.Points(1)}}
	p.Add(one)
	for i, way := range order {
		d := dots[way]
		// Side by side within a scenario's column.
		shift := 0.6 * (float64(i) + 0.5 - float64(len(order))/2) / float64(len(order))
		for j := range d.p50 {
			d.p50[j].X += shift
			d.p99[j].X += shift
		}
		shape := draw.GlyphStyle{Color: colorOf(d.row.System), Radius: vg.Points(3.6), Shape: draw.CircleGlyph{}}
		disc := &plotter.Scatter{XYs: d.p99, GlyphStyle: shape}
		shape.Shape = draw.RingGlyph{}
		if d.row.Network == "tcp" {
			disc.Shape, shape.Shape = draw.BoxGlyph{}, draw.SquareGlyph{}
		}
		p.Add(disc, &plotter.Scatter{XYs: d.p50, GlyphStyle: shape})
		p.Legend.Add(way, disc)
	}
	var ticks []plot.Tick
	for i, name := range names {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Min, p.X.Max = -0.5, float64(len(names))*1.25 // room for the legend
	p.Legend.Top = true
	setLog(&p.Y, least*0.9, most*1.2, true)
	return p
}

// row finds a way.
func (s *Scenario) row(way string) (Row, bool) {
	for _, row := range s.Rows {
		if row.Way == way {
			return row, true
		}
	}
	return Row{}, false
}
