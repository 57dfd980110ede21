package checkup

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// section is a condition as the page shows it.
type section struct {
	Title string
	Rows  []pageRow
	Plot  template.HTML
}

type pageRow struct {
	Name, Problem string
	Cells         []string
}

// WriteHTML writes the result as one page that holds everything it needs.
func (r *Result) WriteHTML(w io.Writer) error {
	data := struct {
		*Result
		What, KernelSays, Footnote string
		Columns                    []string
		Sections                   []section
	}{Result: r, What: r.what(), KernelSays: r.kernelSays(), Footnote: footnote, Columns: columns}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		s := section{Title: c.title(), Plot: c.plot()}
		for i := range c.Ways {
			m := &c.Ways[i]
			s.Rows = append(s.Rows, pageRow{m.Way.title(), m.Problem, m.cells()})
		}
		data.Sections = append(data.Sections, s)
	}
	return page.Execute(w, data)
}
