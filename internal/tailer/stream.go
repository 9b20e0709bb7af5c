package tailer

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/meterlog/meterlog/internal/logfile"
	"github.com/meterlog/meterlog/internal/meter"
)

// stream is a generation as the tailer works on it. Without an open file it is
// idle, lost, or done.
type stream struct {
	meter.Generation
	sources []string // names of the sources that follow it
	under   []string // how each of them calls its file; nil: by the path
	names   []named  // of its file; nil: the path alone

	name string            // of its file when it was opened
	file logfile.File      // nil while it is not open, or open as an archive
	arch *logfile.Archive  // where the file is compressed
	seen logfile.FileState // the file when it was looked at last; zero before

	readTo      int64     // behind the last byte that a read has seen: Offset, or the end of a torn line
	skipped     int64     // above Offset only within a line that is too long: it has no newline before here
	cutTo       int64     // where it went on after its end was cut off, perhaps within a line; 0 if it was not
	blankTo     int64     // above Offset only where nothing but NULs was found up to here
	queued      bool      // is in the tailer's queue
	ending      bool      // rotated and quiet: a line without a newline is its last
	closedIdle  bool      // closed to make room for others, read to its end
	changed     bool      // differs from what the tailer last gave out
	grewAt      time.Time // when it last grew, was opened or was rotated
	metAt       time.Time // the scan that last met its inode
	heldAt      time.Time // the scan that last met a file with its content
	lostAt      time.Time // when the search for it began
	length      int64     // of an archive's content, as far as is known
	unsure      bool      // the last search could not read all that may hold it
	damaged     error     // why its archive cannot be read on
	past        []byte    // the last trail that was committed
	pastAt      int64     // the position that it was committed with
	asked       bool      // what the file is was settled: it may count from its first byte
	askedTo     int64     // how much of its beginning there was when that was asked last
	opening     []byte    // the first bytes of its file, while nothing of them was read
	shrunkAt    time.Time // the last scan before its file was found truncated, unread
	indexed     bool      // it is found by its first bytes, which are evidence
	begins      bool      // it is found by its first bytes, which are few
	key         uint64    // in the index by content
	taken       bool      // the ledger may know of it
	renewed     bool      // it comes from the ledger and was not opened since
	holder      string    // the name of a copy of it
	barred      bool      // another generation has the same file: nothing is read
	countedTorn bool      // its last line counted without its end, which came later

	awaited    bool      // the generation after it waits until it is read
	waiting    bool      // its first line may be the end of a line in a copy
	waitsSince time.Time // since when it has waited for the generation before it
	searched   int       // how many whole scans looked for it

	absentSince time.Time // the first census without a file that holds it; zero while a file does
}

func (s *stream) isOpen() bool { return s.file != nil || s.arch != nil }

// isUnasked reports whether nobody has settled yet what the stream's file is.
func (s *stream) isUnasked() bool { return s.Offset == 0 && !s.asked && s.isOpen() }

// finished reports whether nothing more is expected of it.
func (s *stream) finished() bool { return s.State == meter.Done || s.State == meter.Gap }

// isBlank reports whether nothing but the inode is known of a file that was
// found and not read from yet.
func (s *stream) isBlank() bool {
	return s.Offset == 0 && !s.isOpen() && !s.finished() && s.State != meter.Lost
}

// isIdle reports whether an open plain file was read to its end, so that it can
// be closed and opened again when it grows.
func (s *stream) isIdle() bool {
	return !s.queued && s.readTo == s.seen.Size && (s.State != meter.Rotated || s.readTo == s.Offset)
}

func (s *stream) inode() logfile.Inode { return logfile.Inode{Dev: s.Dev, Ino: s.Ino} }

// lastName returns the last name of the stream's file.
func (s *stream) lastName() string { return cmp.Or(s.name, s.Path) }

// isBehind reports whether the file of a stream that comes from the ledger holds
// something unread, even if nobody wrote to it since.
func (s *stream) isBehind() bool {
	return s.renewed && !s.finished() && (s.Compressed || s.seen.Size > s.Offset)
}

// isNewTo reports whether this process sees the entry's file for the first time.
func (s *stream) isNewTo(e entry) bool { return s.renewed || s.seen.Inode != e.Inode }

func (s *stream) close() {
	if s.file != nil {
		s.file.Close()
	}
	if s.arch != nil {
		s.arch.Close()
	}
	s.file, s.arch = nil, nil
}

// read fills buf with the bytes at the offset, and returns how many there are;
// fewer than asked for at the end, and where an archive is damaged. Mark and head are
// read after the data: if they are still the same, the data belongs to this generation.
func (s *stream) read(buf []byte, offset int64) (int, error) {
	if s.arch != nil {
		s.arch.Step()
		n, err := s.arch.ReadAt(buf, offset)
		if errors.Is(err, logfile.ErrDamaged) {
			s.damaged = err
			err = nil
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
	n, err := s.file.ReadAt(buf, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return n, s.verify()
}

// verify returns errReplaced when the plain file no longer holds what was
// consumed.
func (s *stream) verify() error {
	if err := s.holds(s.Mark, s.Offset-int64(len(s.Mark))); err != nil {
		return err
	}
	// Lines of one length that end alike leave the mark standing; their
	// beginnings differ.
	return s.holds(s.Head[:min(len(s.Head), meter.MarkSize)], 0)
}

func (s *stream) holds(want []byte, offset int64) error {
	var found [meter.MarkSize]byte
	n, err := s.file.ReadAt(found[:len(want)], offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Equal(found[:n], want) {
		return nil
	}
	if n < len(want) {
		info, err := s.file.Stat()
		if err != nil || info.Size() >= offset+int64(len(want)) { // it must be there
			return io.ErrUnexpectedEOF
		}
	}
	return logfile.ErrReplaced
}

// beginning returns the first bytes of the stream. If nothing was consumed, it reads
// them from the file.
func (s *stream) beginning() ([]byte, error) {
	switch {
	case len(s.Head) > 0:
		return s.Head, nil
	case s.file == nil:
		return s.opening, nil
	}
	return logfile.ReadAt(s.file, 0, meter.HeadSize)
}

// consume moves the position over data, which was read at it.
func (s *stream) consume(data []byte) {
	if room := meter.HeadSize - len(s.Head); room > 0 && int64(len(s.Head)) == s.Offset {
		s.Head = append(s.Head, data[:min(room, len(data))]...)
	}
	if len(data) >= meter.MarkSize {
		s.Mark = bytes.Clone(data[len(data)-meter.MarkSize:])
	} else {
		mark := append(bytes.Clone(s.Mark), data...)
		s.Mark = mark[max(0, len(mark)-meter.MarkSize):]
	}
	s.Offset += int64(len(data))
	s.Trail = nil
	s.readTo, s.skipped, s.changed = s.Offset, 0, true
}

// jump moves the position without consuming: head and mark are read from the
// file.
func (s *stream) jump(f io.ReaderAt, offset int64) error {
	head, err := logfile.ReadAt(f, 0, int(min(offset, meter.HeadSize)))
	if err != nil {
		return err
	}
	from := max(0, offset-meter.MarkSize)
	mark, err := logfile.ReadAt(f, from, int(offset-from))
	if err != nil {
		return err
	}
	s.Head, s.Mark, s.Offset, s.Trail = head, mark, offset, nil
	s.readTo, s.skipped, s.changed = offset, 0, true
	return nil
}

// beginsWith reports whether the stream's plain file, as it is now, looks like
// beginning with all of f. It fails where the file was truncated since the scan
// looked: f may be its copy.
func (s *stream) beginsWith(d logfile.Disk, f io.ReaderAt, size int64) (bool, error) {
	if s.Compressed {
		return false, nil
	}
	own := s.file
	if own == nil {
		var err error
		if own, err = d.Open(s.name); logfile.IsMissing(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		defer own.Close()
	}
	info, err := own.Stat()
	if err != nil {
		return false, err
	}
	if found, err := logfile.Compare(own, info.Size(), &s.Generation); s.Offset > 0 && found != logfile.Same {
		return false, cmp.Or(err, logfile.ErrReplaced)
	}
	if info.Size() < size {
		return false, nil
	}
	return logfile.IsPrefix(f, size, own)
}
