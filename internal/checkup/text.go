package checkup

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// footnote explains the overhead.
const footnote = `Through the funnel a message goes to the relay and back twice, since player and
server are this machine. So "over" is what its median takes beyond twice that of
the plain way, and "ratio" the one divided by the other. Half of that way, the
player's, is plain: what is lost there, no funnel can make up for.`

// columns are the titles of a condition's table.
var columns = []string{"p50", "p90", "p99", "max", "loss", "resent", "over", "ratio"}

// cells are a way's figures, in the order of columns; "" where there is none. Nil
// is a way without any.
func (m *Measured) cells() []string {
	s := m.Summary
	if s == nil {
		return nil
	}
	cells := make([]string, len(columns))
	if s.Received > 0 {
		copy(cells, []string{milli(s.P50), milli(s.P90), milli(s.P99), milli(s.Max)})
	}
	if m.Way.udp() || m.Loss > 0 {
		cells[4] = percent(m.Loss)
	}
	if m.Segments > 0 && m.Way == PlainTCP {
		cells[5] = percent(float64(m.Resent) / float64(m.Segments))
	}
	if m.Ratio > 0 {
		cells[6], cells[7] = fmt.Sprintf("%+.1f", m.Overhead.Seconds()*1000), fmt.Sprintf("%.2f", m.Ratio)
	}
	return cells
}

func milli(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }

// title is a condition with what its transfer moved.
func (c *Condition) title() string {
	if c.Bulk == 0 {
		return c.Load.title()
	}
	return c.Load.title() + ", which gets " + rate(c.Bulk)
}

// what is measured, in a line.
func (r *Result) what() string {
	copies := "auto"
	if r.Copies > 0 {
		copies = fmt.Sprint(r.Copies)
	}
	return fmt.Sprintf("%s: %g messages a second of %d bytes each way, %s each; lanes %d, copies %s",
		r.Profile, r.Rate, r.Size, r.Duration, r.Lanes, copies)
}

// kernel is what the kernel says, in a sentence; "" if it says nothing.
func (r *Result) kernelSays() string {
	if r.Kernel == nil {
		return ""
	}
	return fmt.Sprintf("The kernel's TCP measures %s ms to the relay and back, %s ms at least (TCP_INFO).", milli(r.Kernel.SRTT), milli(r.Kernel.MinRTT))
}

// WriteText writes the result as people read it in a terminal.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString(wrap("", "  ", fmt.Sprintf("relay %s at %s (%s)", r.Relay, r.Address, r.Server)))
	b.WriteString(wrap("", "  ", r.what()))
	if says := r.kernelSays(); says != "" {
		b.WriteString(wrap("", "  ", says))
	}
	for i := range r.Conditions {
		r.Conditions[i].writeTable(&b, i == 0)
	}
	fmt.Fprintf(&b, "\n%s\n", footnote)
	for _, c := range r.Conditions {
		if c.Load == Quiet || c.Load == Through {
			c.writeHistogram(&b)
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(&b)
	}
	for _, note := range r.Notes {
		b.WriteString(wrap("note: ", "  ", note))
	}
	b.WriteString("\nVerdict\n")
	for _, sentence := range r.Verdict {
		b.WriteString(wrap("- ", "  ", sentence.Text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRow writes a way, then columns: together as wide as a terminal, unless a
// figure has more digits than there is room for.
func writeRow(b *strings.Builder, name string, cells []string) {
	line := fmt.Sprintf("  %-22s", name)
	for _, cell := range cells {
		line += fmt.Sprintf(" %6s", cell)
	}
	fmt.Fprintln(b, strings.TrimRight(line, " "))
}

// writeProblem writes a way, if it is named, and what is wrong with it.
func writeProblem(b *strings.Builder, name, problem string) {
	head := fmt.Sprintf("  %-22s   ", name)
	b.WriteString(wrap(head, strings.Repeat(" ", len(head)), problem))
}

func (c *Condition) writeTable(b *strings.Builder, explain bool) {
	title := c.title()
	if explain {
		title = "Round trips in ms, " + title
	} else {
		title = strings.ToUpper(title[:1]) + title[1:]
	}
	fmt.Fprintf(b, "\n%s\n", title)
	writeRow(b, "", columns)
	for i := range c.Ways {
		m := &c.Ways[i]
		if m.Summary == nil {
			writeProblem(b, m.Way.title(), m.Problem)
			continue
		}
		writeRow(b, m.Way.title(), m.cells())
		if m.Problem != "" {
			writeProblem(b, "", m.Problem)
		}
	}
}

// writeHistogram draws the way that matters most.
func (c *Condition) writeHistogram(b *strings.Builder) {
	m := c.first(FunnelUDP, FunnelTCP)
	if m == nil {
		return
	}
	all := barsOf(m.histogram)
	if len(all) == 0 {
		return
	}
	b.WriteString("\n" + wrap("", "  ", fmt.Sprintf("%s, %s: messages by round trip in ms", m.Way.title(), c.Load.title())))
	most := largest(all)
	for _, bar := range all {
		to := milli(bar.To)
		if bar.To == 0 {
			to = "more"
		}
		line := fmt.Sprintf("  %7s - %7s %6d %s", milli(bar.From), to, bar.Count, strings.Repeat("█", bar.share(most, barWidth)))
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
}

// width is that of a terminal, in characters.
const width = 80

// wrap breaks a text into lines that a terminal holds: the first begins with
// head, all others with indent.
func wrap(head, indent, text string) string {
	var b strings.Builder
	b.WriteString(head)
	length, begun := len([]rune(head)), false
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case !begun:
			begun = true
		case length+1+n > width:
			b.WriteString("\n" + indent)
			length = len(indent)
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += n
	}
	b.WriteByte('\n')
	return b.String()
}

// WriteJSON writes the result for scripts.
func (r *Result) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
