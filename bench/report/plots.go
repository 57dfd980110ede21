package report

import (
	"bytes"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"funnel/bench/lab"
)

// picture is one plot, or several below each other.
type picture struct {
	name   string
	height vg.Length
	draw   func(draw.Canvas)
}

func onePlot(name string, p *plot.Plot) []picture {
	if p == nil {
		return nil
	}
	return []picture{{name, height, func(c draw.Canvas) { p.Draw(margin(c)) }}}
}

// stacked draws plots below each other with their axes in line.
func stacked(name string, plots []*plot.Plot) []picture {
	if len(plots) == 0 {
		return nil
	}
	return []picture{{name, vg.Length(len(plots))*0.85*vg.Inch + 0.9*vg.Inch, func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Points(4)}
		rows := make([][]*plot.Plot, len(plots))
		for i, p := range plots {
			rows[i] = []*plot.Plot{p}
		}
		for i, canvases := range plot.Align(rows, tiles, margin(c)) {
			plots[i].Draw(canvases[0])
		}
	}}}
}

// svg is the picture as an SVG image that can stand in a page.
func (p picture) svg() (template.HTML, error) {
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, p.height))
	p.draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// An XML declaration has no place within HTML.
	_, svg, found := bytes.Cut(b.Bytes(), []byte("<svg"))
	if !found {
		return "", fmt.Errorf("plot %s: no image", p.name)
	}
	return template.HTML("<svg" + string(svg)), nil
}

// save writes the picture as SVG and as PNG.
func (p picture) save(dir string) error {
	svg, err := p.svg()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, p.name+".svg"), []byte(svg), 0o644); err != nil {
		return err
	}
	canvas := vgimg.NewWith(vgimg.UseWH(width, p.height), vgimg.UseDPI(160))
	p.draw(draw.New(canvas))
	f, err := os.Create(filepath.Join(dir, p.name+".png"))
	if err != nil {
		return err
	}
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// overview are the plots of all scenarios together.
func (r *Report) overview() []picture {
	return append(onePlot("on-time-by-loss", lossPlot(r)), onePlot("ratio-to-tcp", ratioPlot(r))...)
}

// pictures are the plots of one scenario.
func (s *Scenario) pictures() []picture {
	if s.Kind != string(lab.Play) {
		return nil
	}
	return append(onePlot(s.Name+"-latency", cdfPlot(s)), stacked(s.Name+"-time", timelinePlots(s))...)
}

// WritePlots writes every plot as SVG and PNG into plots/ beside the result.
func (r *Report) WritePlots() error {
	dir := filepath.Join(r.Dir, "plots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all := r.overview()
	for i := range r.Scenarios {
		all = append(all, r.Scenarios[i].pictures()...)
	}
	for _, p := range all {
		if err := p.save(dir); err != nil {
			return err
		}
	}
	return nil
}
