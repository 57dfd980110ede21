package lockdown

import (
	"os"
	"path/filepath"
	"slices"
)

// maxLinks bounds a chain of symbolic links, as kernels do (Linux: 40).
const maxLinks = 40

// steps is a path and, one after the other, what it links to.
func steps(path string) []string {
	all := []string{path}
	for range maxLinks {
		next, err := os.Readlink(path)
		if err != nil {
			break // no link, or nothing
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
		all = append(all, path)
	}
	return all
}

// directories are those that hold the files. Rights are those of a directory
// and not of the file in it: what replaces it is another file. Of a directory
// that isn't there yet it is the nearest above it that is.
func directories(files []string) []string {
	var all []string
	for _, path := range files {
		directory := filepath.Dir(path)
		for !isDirectory(directory) && directory != filepath.Dir(directory) {
			directory = filepath.Dir(directory)
		}
		all = append(all, directory)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
