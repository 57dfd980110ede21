package report

import (
	"hash/fnv"
	"image/color"
	"math"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes of a plot. 8 inches are 768 pixels on a screen.
const (
	width  = 8 * vg.Inch
	height = 4.2 * vg.Inch
)

var (
	ink  = color.RGBA{0x2b, 0x2b, 0x2b, 0xff}
	grid = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	red  = color.RGBA{0xd6, 0x27, 0x28, 0xff}
)

// colors are those of the systems we know, told apart also by people who see
// few colors (Okabe and Ito 2008).
var colors = map[string]color.RGBA{
	"direct":          {0x60, 0x60, 0x60, 0xff},
	"forwarder":       {0xa6, 0x76, 0x1d, 0xff},
	"ssh":             {0xe6, 0x9f, 0x00, 0xff},
	"ssh-aes128-gcm":  {0xd5, 0x5e, 0x00, 0xff},
	"funnel":          {0x00, 0x72, 0xb2, 0xff},
	"funnel-copies-1": {0x56, 0xb4, 0xe9, 0xff},
	"funnel-lanes-1":  {0x00, 0x9e, 0x73, 0xff},
}

// others are for what users describe, by name, so that a system keeps its color
// from plot to plot.
var others = []color.RGBA{
	{0xcc, 0x79, 0xa7, 0xff}, {0x7b, 0x3f, 0x99, 0xff}, {0x8c, 0x56, 0x4b, 0xff}, {0xbc, 0xbd, 0x22, 0xff}, {0xe3, 0x77, 0xc2, 0xff},
}

func colorOf(system string) color.RGBA {
	if c, ok := colors[system]; ok {
		return c
	}
	h := fnv.New32a()
	h.Write([]byte(system))
	return others[h.Sum32()%uint32(len(others))]
}

// lineOf is solid for UDP and dashed for TCP.
func lineOf(row Row) draw.LineStyle {
	style := draw.LineStyle{Color: colorOf(row.System), Width: vg.Points(1.6)}
	if row.Network == "tcp" {
		style.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	if strings.HasSuffix(row.Way, " alone") {
		style.Dashes = []vg.Length{vg.Points(1.5), vg.Points(2)}
	}
	return style
}

// wrapped breaks a title that is wider than a picture in two.
func wrapped(title string) string {
	const most = 85 // characters
	if utf8.RuneCountInString(title) <= most {
		return title
	}
	middle := len(title) / 2
	if space := strings.IndexByte(title[middle:], ' '); space >= 0 {
		return title[:middle+space] + "\n" + title[middle+space+1:]
	}
	return title
}

// newPlot is an empty plot in our style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = wrapped(title), x, y
	p.Title.Padding = vg.Points(8)
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(4), vg.Points(4)
	sans := func(size vg.Length) font.Font { return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size} }
	p.Title.TextStyle.Font = sans(vg.Points(12))
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans(vg.Points(10)), sans(vg.Points(9))
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = ink, ink
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = ink, ink
		axis.Padding = 0
	}
	p.Title.TextStyle.Color = ink
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(vg.Points(9)), ink
	p.Legend.ThumbnailWidth = vg.Points(26)
	p.Legend.Padding = vg.Points(2.5)
	p.Legend.XOffs = -vg.Points(6)
	return p
}

// margin keeps the text off the edge of the picture.
func margin(c draw.Canvas) draw.Canvas {
	m := vg.Points(8)
	return draw.Crop(c, m, -m, m, -m)
}

// nines is a scale on which 90 %, 99 % and 99.9 % stand at equal distances.
func nines(share float64) float64 { return -math.Log10(1 - share) }

// ninesTicks are the shares that people know by name.
type ninesTicks struct{}

// Ticks implements plot.Ticker.
func (ninesTicks) Ticks(_, most float64) []plot.Tick {
	var ticks []plot.Tick
	for _, t := range []struct {
		share float64
		label string
	}{{0, "0 %"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}, {0.99999, "99.999 %"}} {
		if nines(t.share) <= most {
			ticks = append(ticks, plot.Tick{Value: nines(t.share), Label: t.label})
		}
	}
	return ticks
}

// setLog makes the axis logarithmic, with labels at 1, 2 and 5, or as many as
// there is room for on an axis of a width.
func setLog(axis *plot.Axis, least, most float64, wide bool) {
	axis.Min, axis.Max = least, most
	axis.Scale = plot.LogScale{}
	axis.Tick.Marker = plot.TickerFunc(func(least, most float64) []plot.Tick {
		var ticks []plot.Tick
		for decade := math.Pow(10, math.Floor(math.Log10(least))); decade <= most; decade *= 10 {
			for step := 1.0; step < 10; step++ {
				v := decade * step
				if v < least*0.999 || v > most*1.001 {
					continue
				}
				tick := plot.Tick{Value: v}
				if step == 1 || most/least < 200 && (step == 2 || step == 5) || wide && most/least < 20 && step != 9 && step != 7 {
					tick.Label = short(v)
				}
				ticks = append(ticks, tick)
			}
		}
		return ticks
	})
}

// gridLines draws lines at the labelled ticks.
type gridLines struct{ vertical, horizontal bool }

// Plot implements plot.Plotter.
func (g gridLines) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: grid, Width: vg.Points(0.6)}
	if g.vertical {
		for _, tick := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if tick.Label != "" {
				c.StrokeLine2(style, x(tick.Value), c.Min.Y, x(tick.Value), c.Max.Y)
			}
		}
	}
	if g.horizontal {
		for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			if tick.Label != "" {
				c.StrokeLine2(style, c.Min.X, y(tick.Value), c.Max.X, y(tick.Value))
			}
		}
	}
}
