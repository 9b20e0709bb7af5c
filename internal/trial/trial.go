package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/screen"
)

// Options say what is tried and how it is shown.
type Options struct {
	Files   []string  // to read; without them, every file that the sources match
	Source  string    // of files that no source matches, or the one source to read; may be ""
	Since   time.Time // where sources without files begin
	Follow  bool      // go on watching until the context ends
	JSON    bool      // print for programs
	Summary bool      // leave the matches out
	Cost    bool      // show how long each rule took, even if the output is no terminal

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Misuse is an error of the command line.
type Misuse struct{ error }

// ErrUnread is returned when an input could not be read. Each was reported.
var ErrUnread = errors.New("")

// Run applies the rules to the inputs, and prints what they come to.
func Run(ctx context.Context, config *config.Config, o Options) error {
	note := func(format string, args ...any) {
		fmt.Fprintf(o.Stderr, "meterlog: %s\n", screen.Visible(fmt.Sprintf(format, args...)))
	}
	inputs, missing, err := findInputs(ctx, config, o.Source, o.Files, o.Since, o.Follow, note)
	if err != nil {
		return err
	}
	t := &trial{
		options: &o, matcher: rules.NewMatcher(&config.Set), tally: newTrialTally(config),
		print: newMatchPrinter(o.Stdout, o.JSON), stdin: o.Stdin, note: note,
	}
	if !o.JSON && (o.Cost || t.print.screen.Width > 0) {
		t.matcher.Measure()
		t.tally.cost = t.matcher.Cost
	}
	if o.Follow && len(o.Files) == 0 {
		t.newInputs = func(known []*input) []*input { return newInputs(config, o.Source, known) }
	}
	t.print.bar = newProgress(screen.Unguarded(o.Stderr), inputs)
	if !o.JSON {
		t.near = newNearMisses(config, t.tally)
	}
	failed := t.run(ctx, inputs)
	if err := t.report(config); err != nil {
		return err
	}
	if !o.Follow && ctx.Err() != nil {
		return errors.New("meterlog: interrupted: what was read until then is counted")
	}
	if failed || missing {
		return ErrUnread
	}
	return nil
}

// trial is one run of `meterlog test`. It is owned by one goroutine.
type trial struct {
	options *Options
	matcher *rules.Matcher
	tally   *trialTally
	near    *nearMisses // nil if they are not shown
	print   *matchPrinter

	newInputs func(known []*input) []*input // finds files that appear later; nil where files were named
	stdin     io.Reader
	note      func(format string, args ...any)
}

// run reads the inputs, and follows them with --follow. It reports whether one could
// not be read.
func (t *trial) run(ctx context.Context, inputs []*input) (failed bool) {
	for _, in := range inputs {
		if ctx.Err() != nil {
			return failed
		}
		if in.live {
			continue
		}
		err := t.read(ctx, in)
		if err == nil || ctx.Err() != nil {
			continue
		}
		t.print.bar.clear()
		t.print.flush()
		if t.options.Follow && errors.Is(err, os.ErrNotExist) {
			t.note("%v: waiting for it", err)
			continue
		}
		t.note("%v", err)
		failed, in.done = true, true
	}
	t.print.bar.finish()
	if t.options.Follow {
		failed = t.follow(ctx, inputs) || failed
	}
	return failed
}

// read applies the rules to an input up to its end.
func (t *trial) read(ctx context.Context, in *input) error {
	lines, err := in.open(ctx, t)
	if err != nil {
		return err
	}
	defer lines.close()
	t.begin(in)
	for ctx.Err() == nil {
		data, skipped, err := lines.next()
		switch {
		case err == io.EOF:
			in.offset = lines.consumed + lines.blanks.Skipped
			t.compareTimes(in)
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", in.name, pathless(err))
		case skipped > 0:
			t.skip(in, skipped)
		default:
			t.block(in, lines.at, data)
		}
		if in.isStdin() {
			t.print.flush() // who writes there may pause
		}
	}
	return ctx.Err()
}

// begin counts an input once something of it was read.
func (t *trial) begin(in *input) {
	if !in.begun {
		in.begun = true
		t.tally.files++
	}
}

// block applies the rules to whole lines. Of the journal it skips the entries whose
// messages are too long.
func (t *trial) block(in *input, start int64, data []byte) {
	if !in.entries {
		t.lines(in, start, data)
		return
	}
	from, end := 0, 0 // of the entries that the rules are still to be applied to
	for entry := range bytes.Lines(data) {
		if size := messageSize(entry); size > meter.MaxLine {
			t.lines(in, start+int64(from), data[from:end])
			t.skip(in, int64(size))
			from = end + len(entry)
		}
		end += len(entry)
	}
	t.lines(in, start+int64(from), data[from:])
}

// messageSize returns the size of an entry's message, or of a text that is no entry. Of
// a short line it returns more than the message has.
func messageSize(line []byte) int {
	if len(line) > meter.MaxLine {
		if entry, ok := fields.ParseEntry(line); ok {
			return len(entry.Message)
		}
	}
	return len(line)
}

// lines applies the rules to whole lines.
func (t *trial) lines(in *input, start int64, data []byte) {
	if len(data) == 0 {
		return
	}
	cursor := lineCursor{data: data, number: in.lines + 1}
	seen := t.tally.matched
	t.matcher.Unparsed = func(u rules.Unparsed) {
		t.tally.addUnparsed(u, func() string { return in.place(cursor.at(int(u.Start - start))) })
	}
	now := time.Now()
	t.matcher.Each(in.block(start, data, now), func(h rules.Hit) {
		hidden := t.tally.add(h, now, func() string { return in.place(cursor.at(int(h.Start - start))) })
		if h.Peak != nil { // closePeaks shows it, or else who watches sees each that is larger
			hidden = !t.tally.peaks.add(h, in, cursor.at(int(h.Start-start))) || !t.options.Follow
		}
		if h.Time.After(in.newest) {
			in.newest = h.Time
		}
		if !t.options.Summary && !hidden {
			t.print.hit(in, cursor.at(int(h.Start-start)), h, now, t.matcher.Highlights)
		}
	})
	if !in.tailed {
		in.last = t.matcher.LastTime(in.sources, data, now)
	}
	t.near.look(in.sources, data)
	read := cursor.at(len(data)) - in.lines - 1
	if data[len(data)-1] != '\n' {
		read++
	}
	in.lines += read
	t.tally.lines += read
	t.tally.bytes += int64(len(data))
	if t.tally.matched != seen {
		t.print.flushScreen()
	}
}

// compareTimes compares the own times in a file with its last write. A time that
// is ahead of it cannot be right; a last line that is always written hours
// behind it was read in a wrong zone.
func (t *trial) compareTimes(in *input) {
	if in.isStdin() || in.compressed {
		return
	}
	info, err := os.Stat(in.path)
	if err != nil {
		return
	}
	if off := timesText(in.newest, in.last, info.ModTime()); off != "" {
		t.tally.offTimes = append(t.tally.offTimes, in.name+": "+off)
	}
}

const (
	offBy     = 10 * time.Minute
	nearZone  = 2 * time.Minute // so near to a multiple of half an hour, a difference is one of zones
	widestOff = 14 * time.Hour
)

// timesText returns what is wrong with the own times in a file, or "".
func timesText(newest, last, written time.Time) string {
	if ahead := newest.Sub(written); !newest.IsZero() && ahead >= offBy {
		return "the newest line is " + roughly(ahead) + " ahead of the file's last write: is `location` right?"
	}
	behind := written.Sub(last)
	zones := behind.Round(30 * time.Minute)
	if !last.IsZero() && behind >= offBy && zones > 0 && behind <= widestOff && (behind-zones).Abs() <= nearZone {
		return "the last line is " + roughly(behind) + " behind the file's last write: is `location` right?"
	}
	return ""
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d.Round(24*time.Hour)/(24*time.Hour))
	case d.Round(time.Minute)%time.Hour == 0:
		return fmt.Sprintf("%d h", d.Round(time.Minute)/time.Hour)
	}
	return screen.Brief(d.Round(time.Minute))
}

// skip notes a line that is too long to be read.
func (t *trial) skip(in *input, size int64) {
	in.lines++
	t.tally.lines++
	t.tally.bytes += size
	t.tally.tooLong.add("too long", func() string {
		return fmt.Sprintf("%s: a line of %d bytes; the longest that is read has %d", in.place(in.lines), size, meter.MaxLine)
	})
}

// report prints what all came to.
func (t *trial) report(config *config.Config) error {
	t.print.bar.finish()
	t.closePeaks()
	if t.options.JSON {
		for _, off := range t.tally.offTimes {
			t.note("%s", off)
		}
		return t.print.end(t.tally.json(config))
	}
	text := t.tally.text(config, t.near, t.print.screen)
	if t.tally.matched > 0 && !t.options.Summary {
		text = "\n" + text
	}
	return t.print.end(text)
}
