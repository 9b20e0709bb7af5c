package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/journalctl"
	"github.com/meterlog/meterlog/internal/meter"
)

// each runs journalctl to its end and calls take for each entry, until take
// returns false.
func each(ctx context.Context, run journalctl.Runner, args []string, take func(fields.Entry) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, err := run(ctx, append([]string{"--output=json", "--all", "--no-pager", "--quiet"}, args...), nil)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(running.Output, 64<<10)
	for {
		line, size, err := readLine(in)
		if err == io.EOF {
			return running.Wait()
		} else if err != nil {
			return errors.Join(err, running.Wait())
		}
		entry, ok := fields.ParseEntry(line)
		if size > MaxEntry {
			entry = fields.Entry{Cursor: cursorIn(line)}
		} else if !ok {
			err = fmt.Errorf("journalctl printed something that is no entry: %s", meter.Clip(string(line), 100))
		}
		if err != nil || !take(entry) {
			cancel()
			running.Output.Close()
			running.Wait()
			return err
		}
	}
}

// newest returns the last entry that a query chooses.
func newest(ctx context.Context, run journalctl.Runner, q Query) (last fields.Entry, err error) {
	args := append([]string{"--lines=1", "--output-fields=" + strings.Join(neededFields(), ",")}, q...)
	found := false
	if err := each(ctx, run, args, func(e fields.Entry) bool { last, found = e, true; return true }); err != nil {
		return last, err
	}
	if !found {
		err = errEmpty
	}
	return last, err
}

// Hint says what to do if a journal cannot be read.
const Hint = "see that this machine has a journal, and that the user is in the group systemd-journal; it is tried again"

// GapHint says what to do about a gap of a journal source, by its message.
func GapHint(example string) string {
	if strings.HasPrefix(example, damagedText) {
		return "see `journalctl --verify` and the disk, and move damaged files elsewhere: what they hide is not counted"
	}
	return "let the journal keep more (SystemMaxUse= in journald.conf), and lift its limit on messages if they are usage (LogRateLimitBurst=1000000 in the unit)"
}

// Check returns why this machine's journal cannot be read, or nil.
func Check(ctx context.Context) error {
	_, err := newest(ctx, journalctl.Run, nil)
	return err
}

// Values returns the values that a field has in this machine's journal.
func Values(ctx context.Context, field string) ([]string, error) {
	running, err := journalctl.Run(ctx, []string{"--no-pager", "--quiet", "--field=" + field}, nil)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(running.Output)
	if err := errors.Join(err, running.Wait()); err != nil {
		return nil, err
	}
	values := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(values)
	return values, nil
}

// mostBehind bounds how many entries Behind counts.
const mostBehind = 1000

// Behind returns how many entries of a generation's query are after its position,
// at most 1,000.
func Behind(ctx context.Context, g meter.Generation) (n int64, err error) {
	if len(g.Mark) == 0 {
		return 0, nil
	}
	from := string(g.Mark)
	args := []string{fmt.Sprintf("--lines=%d", mostBehind+1), "--cursor=" + from, "--output-fields=MESSAGE_ID"}
	err = each(ctx, journalctl.Run, append(args, queryOf(g)...), func(e fields.Entry) bool {
		if e.Cursor != from {
			n++
		}
		return true
	})
	return min(n, mostBehind), err
}

// Since returns what journalctl prints of the entries that a query chooses, from a
// time on: an entry a line. With follow it goes on with new entries until ctx ends.
func Since(ctx context.Context, q Query, since time.Time, follow bool) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	args := []string{"--output=json", "--all", "--no-pager", "--quiet", fmt.Sprintf("--since=@%d", since.Unix())}
	if follow {
		args = append(args, following...)
	}
	running, err := journalctl.Run(ctx, append(args, q...), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	return &printed{running.Output, cancel, running.Wait}, nil
}

// printed is the output of a journalctl that ends with it.
type printed struct {
	io.ReadCloser
	cancel context.CancelFunc
	wait   func() error
}

func (p *printed) Close() error {
	p.cancel()
	err := p.ReadCloser.Close()
	p.wait()
	return err
}

// Entries calls take with the events of a generation from one offset to another, as
// far as the journal still has them. It returns how many it does not have any more.
func Entries(ctx context.Context, g meter.Generation, from, to int64, take func(meter.Block)) (gone int64, err error) {
	return entries(ctx, journalctl.Run, g, from, to, take)
}

func entries(ctx context.Context, run journalctl.Runner, g meter.Generation, from, to int64, take func(meter.Block)) (gone int64, err error) {
	first, number, err := oldest(ctx, run, g)
	if err != nil || first == "" {
		return to - from, err
	}
	gone = min(max(0, number-from), to-from)
	if number >= to {
		return gone, nil
	}
	b := meter.Block{Generation: g.ID, Path: g.Path}
	hand := func() {
		if len(b.Data) > 0 {
			take(b)
		}
		b.Data, b.Events = nil, nil
	}
	begun := false
	args := append([]string{"--cursor=" + string(g.Head)}, queryOf(g)...)
	err = each(ctx, run, args, func(e fields.Entry) bool {
		if !begun && e.Cursor != first {
			return false
		}
		begun = true
		if number >= from && e.Fields["MESSAGE_ID"] != suppressedID && !e.Written.IsZero() && len(e.Message) <= meter.MaxLine {
			b.Data = append(append(b.Data, e.Message...), '\n')
			b.Events = append(b.Events, meter.Event{End: len(b.Data), From: number, To: number + 1, At: e.At, Entry: e.Fields})
			if len(b.Data) >= batchSize {
				hand()
			}
		}
		number++
		return number < to
	})
	if err == nil && !begun {
		err = errors.New("the journal deletes entries at this moment: ask again")
	}
	if err != nil {
		return 0, err
	}
	hand()
	return gone + max(0, to-number), nil
}

// oldest returns the cursor of the first entry of a generation that the journal still
// has, and its offset. If the first entry of the generation is gone, oldest counts back
// from the last one. The cursor is "" if the journal has none of them.
func oldest(ctx context.Context, run journalctl.Runner, g meter.Generation) (cursor string, offset int64, err error) {
	n, last := int64(0), ""
	args := append([]string{"--cursor=" + string(g.Head), "--output-fields=MESSAGE_ID"}, queryOf(g)...)
	err = each(ctx, run, args, func(e fields.Entry) bool {
		if n++; n == 1 {
			cursor = e.Cursor
		}
		last = e.Cursor
		return cursor != string(g.Head) && last != string(g.Mark) && n < g.Offset
	})
	switch {
	case err != nil || cursor == string(g.Head):
		return cursor, 0, err
	case last != string(g.Mark):
		return "", 0, nil
	}
	return cursor, g.Offset - n, nil
}
