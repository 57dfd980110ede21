package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows how far a run is: a progress bar on a terminal, otherwise a line
// when another scenario begins.
type bar struct {
	file *os.File
	bar  *progressbar.ProgressBar // nil without a terminal
	last string
}

func newBar(file *os.File) *bar {
	b := &bar{file: file}
	if term.IsTerminal(int(file.Fd())) {
		b.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(file), progressbar.OptionFullWidth(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowDescriptionAtLineEnd())
	}
	return b
}

func (b *bar) show(done, total time.Duration, what string) {
	if b.bar != nil {
		b.bar.Describe(what)
		b.bar.ChangeMax64(int64(total / time.Millisecond))
		_ = b.bar.Set64(int64(done / time.Millisecond))
		return
	}
	if what != b.last {
		fmt.Fprintf(b.file, "[%5.1f%%, about %s left] %s\n", 100*done.Seconds()/max(total.Seconds(), 1e-9), (total - done).Round(time.Second), what)
		b.last = what
	}
}

func (b *bar) notice(text string) {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	fmt.Fprintf(b.file, "bench: %s\n", text)
}

func (b *bar) close() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
