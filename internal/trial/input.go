package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
)

const readSize = 256 << 10 // of blocks

// input is a file, or standard input, with the sources that it belongs to.
type input struct {
	name    string   // as it was named
	path    string   // absolute: what expressions see as `file`; "-" for standard input
	sources []string // in the order of the configuration
	root    string   // of a file that a source matches: see logfile.Open; "" else
	size    int64    // bytes in the file; -1 where that is unknown

	lines      int64 // lines that were read
	offset     int64 // bytes that were read, in whole lines
	begun      bool  // it was opened
	tailed     bool  // lines were added to it since
	compressed bool
	newest     time.Time // the latest own time of a line that counted, or zero
	last       time.Time // the own time of the last line, or zero
	done       bool      // nothing more is to come

	entries bool // its lines are entries of the journal, as journalctl prints them

	stream func(context.Context) (io.ReadCloser, error) // of a source without files: opens its lines
	live   bool                                         // the stream goes on until its context ends
}

func (in *input) isStdin() bool { return in.path == "-" }

// place is how people find a line.
func (in *input) place(line int64) string { return fmt.Sprintf("%s:%d", screen.Visible(in.name), line) }

// block is a run of whole lines of the input. start is 0 where the file begins
// with it.
func (in *input) block(start int64, data []byte, now time.Time) meter.Block {
	return meter.Block{Path: in.path, Sources: in.sources, Start: start, Data: data, ReadAt: now}
}

// findInputs turns arguments into inputs. It reports files that cannot be read, except
// files that a program may still create with --follow. missing says whether it
// reported any.
func findInputs(ctx context.Context, config *config.Config, source string, args []string, since time.Time, follow bool, note func(string, ...any)) (inputs []*input, missing bool, err error) {
	if len(args) == 0 {
		return matchedInputs(ctx, config, source, since, follow, note)
	}
	var homeless []string
	for _, name := range args {
		in := &input{name: name, path: "-", size: -1}
		if name != "-" {
			if in.path, err = filepath.Abs(name); err != nil {
				return nil, false, err
			}
			in.sources = sourcesOf(config, in.path)
			if len(config.SourcesOf(in.path)) > 0 {
				in.root = config.Roots().Of(in.path)
			}
			if in.size, err = regularSize(name); err != nil && !(follow && errors.Is(err, fs.ErrNotExist)) {
				note("%v", err)
				missing = true
				continue
			}
		}
		switch {
		case len(in.sources) == 0 && source != "":
			in.sources = []string{source}
		case len(in.sources) == 0 && len(config.Sources) == 1:
			in.sources = SourceNames(config)
		case len(in.sources) == 0:
			homeless = append(homeless, name)
		case source != "" && !slices.Contains(in.sources, source):
			note("%s belongs to %s by its path; --source %s is not for it", name, strings.Join(in.sources, ", "), source)
		}
		in.entries = slices.ContainsFunc(config.Sources, func(s *rules.Source) bool { return s.Journal != nil && slices.Contains(in.sources, s.Name) })
		inputs = append(inputs, in)
	}
	if len(homeless) > 0 {
		return nil, false, Misuse{fmt.Errorf("meterlog: no source matches %s: name the source with --source: one of %s",
			strings.Join(homeless, ", "), strings.Join(SourceNames(config), ", "))}
	}
	return inputs, missing, nil
}

// sourcesOf names the sources of a path, or else of the file that it is a
// compressed or rotated form of.
func sourcesOf(config *config.Config, path string) []string {
	for _, form := range append([]string{path, logfile.Uncompressed(path)}, logfile.RotatedFrom(path)...) {
		if names := config.SourcesOf(form); len(names) > 0 {
			return names
		}
	}
	return nil
}

// matchedInputs returns the files that all sources match now, or one source. It reports
// files that cannot be read, and missing says whether there were any. It fails without
// a file, unless --follow waits for one.
func matchedInputs(ctx context.Context, config *config.Config, source string, since time.Time, await bool, note func(string, ...any)) (inputs []*input, missing bool, err error) {
	var globs []string
	for _, s := range config.Sources {
		if source != "" && source != s.Name {
			continue
		}
		if s.Journal != nil {
			if err := journal.Check(ctx); err != nil {
				missing = true
				note("source %s: %v", s.Name, err)
				continue
			}
			inputs = append(inputs, journalInput(s, since, await))
			continue
		}
		if s.Every > 0 {
			inputs = append(inputs, clockInput(s, since, time.Now()))
			continue
		}
		globs = append(globs, s.Paths...)
		paths, problems := FilesOf(s)
		for _, problem := range problems {
			missing = true
			note("%s", problem)
		}
		for _, path := range paths {
			if slices.ContainsFunc(inputs, func(in *input) bool { return in.path == path }) {
				continue
			}
			size, err := regularSize(path)
			if err != nil {
				continue
			}
			inputs = append(inputs, &input{name: path, path: path, root: config.Roots().Of(path), size: size, sources: config.SourcesOf(path)})
		}
	}
	switch {
	case len(inputs) > 0:
	case missing && len(globs) == 0: // journals
		return nil, true, ErrUnread
	case await:
		note("no file matches %s: waiting for one", strings.Join(globs, ", "))
	case missing:
		return nil, true, fmt.Errorf("meterlog: nothing of %s can be read: see who may read it: sudo -u meterlog meterlog test", strings.Join(globs, ", "))
	default:
		return nil, false, fmt.Errorf("meterlog: no file matches %s: name files to test, or - for standard input", strings.Join(globs, ", "))
	}
	return inputs, missing, nil
}

// clockInput returns the events of a source of the clock, as if the agent had run
// all the time.
func clockInput(s *rules.Source, since, now time.Time) *input {
	length := int64(s.Every / time.Second)
	from := since.Unix() - since.Unix()%length
	lines := journal.Stretches(meter.Generation{Query: s.Every.String()}, from, now.Unix()).Data
	return &input{name: s.Stream(), path: s.Stream(), size: int64(len(lines)), sources: []string{s.Name}, done: true,
		stream: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(lines)), nil }}
}

// journalInput returns the entries of a source of the journal. With follow it has those
// to come as well.
func journalInput(s *rules.Source, since time.Time, follow bool) *input {
	query := journal.NewQuery(journal.MachineID(), s.Journal.Units, s.Journal.Identifiers, s.Journal.Matches)
	return &input{name: s.Stream(), path: s.Stream(), size: -1, sources: []string{s.Name}, done: !follow, live: follow, entries: true,
		stream: func(ctx context.Context) (io.ReadCloser, error) { return journal.Since(ctx, query, since, follow) }}
}

// newInputs returns the readable files of the sources, or of one, that are not
// known.
func newInputs(conf *config.Config, source string, known []*input) (inputs []*input) {
	for _, s := range conf.Sources {
		if source != "" && source != s.Name {
			continue
		}
		paths, _ := FilesOf(s) // unreadable files were reported, or may be read later
		for _, path := range paths {
			has := func(in *input) bool { return in.path == path }
			if size, err := regularSize(path); err == nil && !slices.ContainsFunc(known, has) && !slices.ContainsFunc(inputs, has) {
				inputs = append(inputs, &input{name: path, path: path, root: conf.Roots().Of(path), size: size, sources: conf.SourcesOf(path)})
			}
		}
	}
	return inputs
}

// FilesOf returns the files that a source has now and can be read, and what
// cannot be read of it: a folder, or a file.
func FilesOf(s *rules.Source) (paths, problems []string) {
	found, err := s.Files()
	if err != nil {
		problems = strings.Split(err.Error(), "\n")
	}
	for _, path := range found {
		if err := readable(path, glob.Fixed(s.Paths, path)); err != nil {
			problems = append(problems, err.Error())
			continue
		}
		paths = append(paths, path)
	}
	return paths, problems
}

// readable returns an error where a file may not be read, as run would not read it.
func readable(path, root string) error {
	f, err := logfile.Open(path, root)
	if err != nil {
		return fmt.Errorf("%s: %w", path, pathless(err))
	}
	return f.Close()
}

// regularSize is the size of a file, or -1 for pipes and devices. A folder is
// an error.
func regularSize(name string) (int64, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", name, pathless(err))
	case info.IsDir():
		return 0, fmt.Errorf("%s: is a folder; name the files in it", name)
	case !info.Mode().IsRegular():
		return -1, nil
	}
	return info.Size(), nil
}

// pathless takes off the operation and path, which the caller names.
func pathless(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func SourceNames(config *config.Config) []string {
	var names []string
	for _, s := range config.Sources {
		names = append(names, s.Name)
	}
	return names
}

func UnknownSource(config *config.Config, name string) error {
	return Misuse{fmt.Errorf("meterlog: --source %q: there is no such source in %s; use one of %s",
		name, config.Path, strings.Join(SourceNames(config), ", "))}
}

// file opens the input's file. A pipe or a device is opened only where somebody
// named it.
func (in *input) file() (*os.File, error) {
	if in.size < 0 || in.root == "" {
		return os.Open(in.path)
	}
	return logfile.Open(in.path, in.root)
}

// longest returns how many bytes of a line are read. A message of the journal may be
// meter.MaxLine long, and takes more room as journalctl prints it.
func (in *input) longest() int {
	if in.entries {
		return journal.MaxEntry
	}
	return meter.MaxLine
}

// open begins to read the input, decompressed if need be.
func (in *input) open(ctx context.Context, t *trial) (*lineReader, error) {
	var raw io.Reader
	close := func() {}
	if in.stream != nil {
		lines, err := in.stream(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.name, err)
		}
		raw, close = lines, func() { lines.Close() }
	} else if in.isStdin() {
		raw = &interruptible{ctx: ctx, from: t.stdin}
	} else {
		f, err := in.file()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.name, pathless(err))
		}
		raw, close = f, func() { f.Close() }
	}
	stream, compressed, err := logfile.Decompress(t.print.bar.reader(raw))
	if err != nil {
		close()
		return nil, fmt.Errorf("%s: %w", in.name, pathless(err))
	}
	in.compressed = compressed
	if c, ok := stream.(io.Closer); ok {
		closeRaw := close
		close = func() { c.Close(); closeRaw() }
	}
	blanks := logfile.SkipBlanks(stream)
	return &lineReader{from: blanks, longest: in.longest(), blanks: blanks, close: close, wholeOnly: t.options.Follow && !in.isStdin() && !compressed}, nil
}

// lineReader cuts a stream into runs of whole lines.
type lineReader struct {
	from      io.Reader
	longest   int                   // bytes of a line; longer ones are skipped
	blanks    *logfile.BlankSkipper // the same as from, if a log is read
	close     func()
	wholeOnly bool // a last line without a newline is left alone

	consumed int64  // bytes given out or skipped
	at       int64  // offset of the lines given out last; exact at the beginning of a file
	buffer   []byte // buffer[start:end] was read and not returned
	start    int
	searched int // buffer[start:searched] holds no newline
	end      int
	err      error // of the last read
}

// next returns whole lines, valid until the next call, or the size of a line
// that was skipped because it is too long. It returns io.EOF at the
// end. The last line may lack its newline.
func (r *lineReader) next() (data []byte, skipped int64, err error) {
	for {
		if i := bytes.LastIndexByte(r.buffer[r.searched:r.end], '\n'); i >= 0 {
			return r.take(r.searched + i + 1), 0, nil
		}
		r.searched = r.end
		if r.err == io.EOF && r.start < r.end && !r.wholeOnly {
			return r.take(r.end), 0, nil
		}
		if r.err != nil {
			return nil, 0, r.err
		}
		if r.start > 0 {
			r.end = copy(r.buffer, r.buffer[r.start:r.end])
			r.start, r.searched = 0, r.end
		}
		switch {
		case len(r.buffer) == 0:
			r.buffer = make([]byte, readSize)
		case r.end == r.longest:
			return r.skip()
		case r.end == len(r.buffer):
			r.buffer = append(r.buffer, make([]byte, min(3*r.end, r.longest-r.end))...)
		}
		r.read()
	}
}

// take gives out what was read up to end.
func (r *lineReader) take(end int) []byte {
	data := r.buffer[r.start:end]
	if r.at = r.consumed; r.blanks != nil {
		r.at += r.blanks.Leading
	}
	r.consumed += int64(len(data))
	r.start, r.searched = end, r.end
	return data
}

// read fills the rest of the buffer, as far as one read goes.
func (r *lineReader) read() {
	n, err := r.from.Read(r.buffer[r.end:])
	r.end += n
	r.err = err
}

// skip drops the line that fills the buffer.
func (r *lineReader) skip() (data []byte, skipped int64, err error) {
	for {
		skipped += int64(r.end)
		if r.err != nil {
			r.start, r.searched, r.end = 0, 0, 0
			if r.wholeOnly || r.err != io.EOF {
				return nil, 0, r.err
			}
			r.consumed += skipped
			return nil, skipped, nil
		}
		r.end = 0
		r.read()
		if i := bytes.IndexByte(r.buffer[:r.end], '\n'); i >= 0 {
			r.start, r.searched = i+1, i+1
			skipped += int64(i) + 1
			r.consumed += skipped
			return nil, skipped, nil
		}
	}
}

// lineCursor numbers the lines of a block. It moves forward only.
type lineCursor struct {
	data   []byte
	offset int
	number int64 // of the line that holds data[offset]
}

func (c *lineCursor) at(offset int) int64 {
	c.number += int64(bytes.Count(c.data[c.offset:offset], []byte{'\n'}))
	c.offset = offset
	return c.number
}

// interruptible reads until ctx ends, even where a read does not return.
type interruptible struct {
	ctx  context.Context
	from io.Reader

	pieces chan piece
	buffer []byte
	last   piece
}

type piece struct {
	data []byte
	err  error
}

func (r *interruptible) Read(p []byte) (int, error) {
	if r.pieces == nil {
		r.pieces = make(chan piece)
		r.buffer = make([]byte, 64<<10)
	}
	if len(r.last.data) == 0 && r.last.err == nil {
		// It ends with the read, or, if that never returns, with the process.
		go func() {
			n, err := r.from.Read(r.buffer)
			select {
			case r.pieces <- piece{r.buffer[:n], err}:
			case <-r.ctx.Done():
			}
		}()
		select {
		case r.last = <-r.pieces:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(p, r.last.data)
	r.last.data = r.last.data[n:]
	if len(r.last.data) > 0 {
		return n, nil
	}
	return n, r.last.err
}
