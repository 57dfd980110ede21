package main

import (
	"bytes"
	"errors"
	"os"

	"funnel/internal/checkup"
)

// page is the file that --html names. It is opened first, so that nobody waits a
// minute to read that it can't be, and written last, so that a page of before
// stays until then.
type page struct {
	file    *os.File
	created bool // and nothing is in it yet
}

// openPage returns nil, which is a page that nobody wants, without a path.
func openPage(path string) (*page, error) {
	if path == "" {
		return nil, nil
	}
	const mode = 0o644
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) // #nosec G302 -- a page to be shown around, and the umask counts
	if errors.Is(err, os.ErrExist) {
		file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode) // #nosec G302 -- likewise; it may be a link to what isn't there yet
		return &page{file: file}, err
	}
	return &page{file: file, created: true}, err
}

// write replaces what is in the file. There may be no file that can be cut, but
// a pipe or a device.
func (p *page) write(result *checkup.Result) error {
	if p == nil {
		return nil
	}
	var text bytes.Buffer
	if err := result.WriteHTML(&text); err != nil {
		return err
	}
	if info, err := p.file.Stat(); err == nil && info.Mode().IsRegular() {
		if err := p.file.Truncate(0); err != nil {
			return err
		}
	}
	p.created = false
	_, err := p.file.Write(text.Bytes())
	return errors.Join(err, p.file.Close())
}

// close takes the file away again that there was no page for.
func (p *page) close() {
	if p == nil {
		return
	}
	_ = p.file.Close() // fails if it was written, which has told
	if p.created {
		_ = os.Remove(p.file.Name())
	}
}
