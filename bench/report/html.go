package report

import (
	_ "embed"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// section is one scenario as the page shows it.
type section struct {
	*Scenario
	Titles []string
	Rows   []tableRow
	Plots  []template.HTML
}

type tableRow struct {
	Cells  []string
	Errors []string
}

// WriteHTML writes the report as one page that holds everything it needs.
func (r *Report) WriteHTML(w io.Writer) error {
	data := struct {
		*Report
		Took     time.Duration
		Overview []template.HTML
		Sections []section
	}{Report: r, Took: r.Result.Ended.Sub(r.Result.Started).Round(time.Second)}
	var err error
	if data.Overview, err = images(r.overview()); err != nil {
		return err
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		section := section{Scenario: s, Titles: []string{"way"}}
		if section.Plots, err = images(s.pictures()); err != nil {
			return err
		}
		columns := columnsOf(s)
		for _, c := range columns {
			section.Titles = append(section.Titles, c.title)
		}
		for _, row := range s.Rows {
			t := tableRow{Cells: []string{row.Way}, Errors: row.Errors}
			for _, c := range columns {
				t.Cells = append(t.Cells, c.value(row))
			}
			section.Rows = append(section.Rows, t)
		}
		data.Sections = append(data.Sections, section)
	}
	return page.Execute(w, data)
}

func images(pictures []picture) ([]template.HTML, error) {
	var all []template.HTML
	for _, p := range pictures {
		svg, err := p.svg()
		if err != nil {
			return nil, err
		}
		all = append(all, svg)
	}
	return all, nil
}
