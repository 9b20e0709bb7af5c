package logfile

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/meter"
)

// ErrGone is returned by Find when no file holds the generation any more.
var ErrGone = errors.New("no file holds it any more")

// Content is the file that holds a generation now. It is to be closed.
type Content struct {
	Name string // where it is
	Size int64  // bytes; -1 of a compressed file, whose length shows when it is read

	generation meter.Generation
	file       File     // where it is plain
	arch       *Archive // where it is compressed
}

// Find looks for the file that holds a generation of the ledger: its path and
// the rotated forms of it, plain and compressed. A file holds it when the head
// and the mark stand where they should, whatever its name and inode. The error
// says where it was looked for; it is ErrGone unless something could not be
// read.
func (d Disk) Find(g meter.Generation) (*Content, error) {
	if g.Offset == 0 {
		return nil, fmt.Errorf("logfile: generation %d of %s: nothing of it was read", g.ID, g.Path)
	}
	names, err := d.candidates(g)
	problems := []error{err}
	for _, name := range names {
		c, err := d.openContent(name, g)
		if c != nil {
			return c, nil
		}
		problems = append(problems, err)
	}
	where := "there is neither that file nor a rotated form of it"
	if len(names) > 0 {
		where = "looked in " + strings.Join(names, ", ")
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("logfile: generation %d of %s was not found (%s): %w", g.ID, g.Path, where, err)
	}
	return nil, fmt.Errorf("logfile: generation %d of %s: %w: %s", g.ID, g.Path, ErrGone, where)
}

// candidates lists the files that may hold a generation by their names. The file with
// its inode comes first. The error says which folders could not be listed.
func (d Disk) candidates(g meter.Generation) ([]string, error) {
	folders := make(Families)
	for _, name := range append([]string{g.Path}, g.Names...) {
		folders.Add(name, g.Path)
	}
	var names []string
	var problems []error
	last := ""
	for dir, paths := range folders {
		listing, err := d.ReadDir(dir)
		if err != nil && !IsMissing(err) {
			problems = append(problems, err)
		}
		for _, file := range listing {
			name := filepath.Join(dir, file.Name())
			if _, ok := Owner(paths, name, RotatedFrom); !ok {
				continue
			}
			if at, err := d.State(name); IsMissing(err) || errors.Is(err, ErrNotRegular) || errors.Is(err, ErrLinkRefused) {
				continue
			} else if at.Inode == (Inode{g.Dev, g.Ino}) {
				last = name
			}
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case a == last:
			return -1
		case b == last:
			return 1
		}
		return strings.Compare(a, b)
	})
	return names, errors.Join(problems...)
}

// openContent returns nil where the file does not hold the generation.
func (d Disk) openContent(name string, g meter.Generation) (*Content, error) {
	c := &Content{Name: name, Size: -1, generation: g}
	var found Match
	var err error
	if c.file, err = d.Open(name); err != nil {
		if IsMissing(err) {
			err = nil
		}
		return nil, err
	}
	form, err := CompressionOf(c.file)
	if form = cmp.Or(form, Compression(name)); err == nil && form != "" {
		c.arch, c.file = NewArchive(c.file), nil
		if err = c.arch.Begin(); err == nil {
			found, err = c.arch.Holds(&g)
		}
	} else if err == nil {
		var info fs.FileInfo
		if info, err = c.file.Stat(); err == nil {
			c.Size = info.Size()
			found, err = Compare(c.file, c.Size, &g)
		}
	}
	if err == nil && (found == Same) {
		return c, nil
	}
	c.Close()
	if IsMissing(err) {
		err = nil
	}
	return nil, err
}

// Close closes the file.
func (c *Content) Close() error {
	CloseFile(c.file)
	CloseArchive(c.arch)
	return nil
}

// Lines calls each with every line that begins in the counted bytes from start to
// end. Both are offsets behind a newline, or the end. The line has its newline, as in
// a [meter.Block], and is valid until each returns. Lines leaves out lines that are
// too long to be counted. It takes the memory of one line, whatever the file's size.
// An error of each ends it.
//
// Lines compares the content again after it has read it. After an error the lines may
// be from another file.
func (c *Content) Lines(start, end int64, each func(offset int64, line []byte) error) error {
	if end > c.generation.Offset {
		return fmt.Errorf("logfile: %s: only %d bytes of generation %d were counted, not %d", c.Name, c.generation.Offset, c.generation.ID, end)
	}
	carried := c.carried(start)
	from := io.MultiReader(bytes.NewReader(carried), c.from(start+int64(len(carried))))
	if err := eachLine(io.LimitReader(from, end-start), start, end, each); err != nil {
		return fmt.Errorf("logfile: %s: %w", c.Name, err)
	}
	return c.verify()
}

// carried returns the beginning of the generation's first line, which an earlier
// generation ended with, if a range that begins at start has it. Such a range
// begins before the file does, or within the NULs that the file begins with.
func (c *Content) carried(start int64) []byte {
	if start < 0 {
		return c.generation.Carry
	}
	if c.file != nil && len(c.generation.Carry) > 0 {
		if two, err := ReadAt(c.file, start, 2); err == nil && Blanks(two) == 2 {
			return c.generation.Carry
		}
	}
	return nil
}

// eachLine cuts what r holds, the bytes from start to end, into lines.
func eachLine(r io.Reader, start, end int64, each func(int64, []byte) error) error {
	lines := bufio.NewReaderSize(r, meter.MaxLine)
	tooLong := false
	for offset := start; offset < end; {
		if !tooLong {
			if offset += skipBlanks(lines); offset >= end {
				break
			}
		}
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			tooLong = true
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case len(line) == 0:
			return fmt.Errorf("it ends at %d, before %d: %w", offset, end, io.ErrUnexpectedEOF)
		case tooLong:
			tooLong = false
		default:
			if err := each(offset, line); err != nil {
				return err
			}
		}
		offset += int64(len(line))
	}
	return nil
}

// from returns a reader of the content from the offset on.
func (c *Content) from(offset int64) io.Reader {
	if c.file != nil {
		return io.NewSectionReader(c.file, offset, c.Size-offset)
	}
	return c.arch.From(offset)
}

func (c *Content) verify() error {
	if c.file == nil {
		return nil // a compressed file is not written to again
	}
	found, err := Compare(c.file, c.Size, &c.generation)
	if err == nil && found != Same {
		err = ErrReplaced
	}
	if err != nil {
		return fmt.Errorf("logfile: %s changed while it was read: %w", c.Name, err)
	}
	return nil
}

// From returns a reader of the content from the offset on.
func (a *Archive) From(offset int64) io.Reader { return &archiveReader{a, offset} }

// archiveReader reads an archive on from an offset.
type archiveReader struct {
	arch   *Archive
	offset int64
}

func (r *archiveReader) Read(p []byte) (int, error) {
	n, err := r.arch.ReadAt(p, r.offset)
	r.offset += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
