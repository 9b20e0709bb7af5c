package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
)

// GoneError is returned when the state folder does not hold any more what is
// open. Nothing is counted or delivered then: another agent may begin there.
type GoneError struct {
	Dir    string
	Detail string
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("%s does not hold the open ledger any more: %s", e.Dir, e.Detail)
}

// fileID distinguishes a file from every other file of the machine.
type fileID struct{ dev, ino uint64 }

func identify(info fs.FileInfo) fileID {
	stat := info.Sys().(*syscall.Stat_t)
	return fileID{uint64(stat.Dev), stat.Ino}
}

// folder is the state folder as this process holds it.
type folder struct {
	dir     string
	lock    *os.File    // locked; it remembers how far the ledger was
	book    *os.File    // the database, locked as well
	id      string      // of the ledger
	checked atomic.Bool // the whole database was read

	marked   bool              // the database's own file says that it is in use
	expected map[string]fileID // what the folder must hold, by name; nil until that is known

	noting  sync.Mutex // guards lock and commits
	commits int64      // the newest that lock remembers
}

// takeFolder locks the folder for this process.
func takeFolder(dir string) (*folder, error) {
	f, err := lock(dir)
	if err != nil {
		return nil, err
	}
	return &folder{dir: dir, lock: f}, nil
}

func (f *folder) path() string { return filepath.Join(f.dir, FileName) }

// release frees the locks.
func (f *folder) release() error {
	var err error
	if f.book != nil {
		err = f.book.Close()
	}
	return errors.Join(err, f.lock.Close())
}

// openFile opens a file of the state folder. It follows no link, waits for no
// pipe, and refuses what is not a regular file.
func openFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o640)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: no link is followed in the state folder: remove it", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: remove it", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// prepare makes a missing ledger. It reports whether it did.
func (f *folder) prepare(ctx context.Context, schema Schema) (made bool, err error) {
	path, known := f.path(), recall(f.lock)
	if known.ledger == "" && halfMade(path) {
		if err := os.Remove(path); err != nil {
			return false, fmt.Errorf("ledger: %w", err)
		}
	}
	exists, err := Present(path)
	switch {
	case err != nil || exists:
		return false, err
	case known.ledger != "":
		return false, &CorruptError{Path: path, Detail: "it is missing, though the file " + LockName + " remembers it"}
	}
	if err := create(ctx, path, schema); err != nil {
		return false, fmt.Errorf("ledger: create %s: %w", path, err)
	}
	return true, nil
}

// lockBook locks the database itself, whose lock nobody can take away by
// removing a file: who removes the database has another one after that. A
// database that cannot be written is refused here.
func (f *folder) lockBook() (err error) {
	if f.book, err = openFile(f.path(), os.O_RDWR); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := flock(f.book); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return &LockedError{Dir: f.dir}
		}
		return fmt.Errorf("ledger: lock %s: %w", f.path(), err)
	}
	return nil
}

// inspect refuses a damaged database. It also refuses a database that changed
// since the last process left it.
func (f *folder) inspect(ctx context.Context, schema Schema) error {
	path := f.path()
	info, err := f.book.Stat()
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	whole := info.Size() <= checkedAtOnce
	unfolded := true
	if journal, err := os.Lstat(path + "-wal"); err != nil || journal.Size() == 0 {
		unfolded = false
	}
	found, err := examine(ctx, path, schema, whole)
	if err != nil {
		// Requeue may write at this moment in another process. Without the journal
		// that can look like damage.
		found, err = examine(ctx, path, schema, whole)
	}
	if err != nil {
		return Explain(path, err)
	}
	f.id = found.id
	f.checked.Store(whole)
	known := recall(f.lock)
	detail := ""
	switch {
	case known.ledger != "" && known.ledger != found.id:
		detail = "it is another ledger than the one that the file " + LockName + " remembers"
	case known.commits > found.commits:
		detail = fmt.Sprintf("it is an older state of it, without the last %d commits: its %s-wal was taken away, or a copy put in its place", known.commits-found.commits, FileName)
	case !unfolded && found.running != "" && found.running == birthmark(f.book) && (known.ledger == "" || known.boot != BootID()):
		detail = "its " + FileName + "-wal is missing after an end that was not clean: put it back, or put a backup in place as a new file"
	}
	if detail != "" {
		return &CorruptError{Path: path, Detail: detail}
	}
	return nil
}

// birthmark distinguishes a file from its copies and from what is put in its place,
// also after the machine has started again.
func birthmark(f *os.File) string {
	var x unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &x); err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d.%09d", x.Ino, x.Btime.Sec, x.Btime.Nsec)
}

// enter notes in the database that it is in use, so that the next process knows
// whether it came to a clean end, and notes what the folder holds now.
func (s *Store) enter(ctx context.Context) error {
	f := s.folder
	f.expected, f.marked = nil, false
	if err := f.unmoved(); err != nil { // the connection is made by the name
		return err
	}
	err := s.transact(ctx, func(tx *sql.Tx) (changed bool, err error) {
		if f.id == "" {
			f.id = uuid.NewString()
			if err := setMeta(ctx, tx, idKey, f.id); err != nil {
				return false, err
			}
		}
		return true, setMeta(ctx, tx, runningKey, birthmark(f.book))
	})
	if err != nil {
		return Explain(f.path(), err)
	}
	s.mark(ctx)
	expected := make(map[string]fileID)
	for _, name := range watched {
		info, err := os.Lstat(filepath.Join(f.dir, name))
		if name == LockName {
			info, err = f.lock.Stat()
		}
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		expected[name] = identify(info)
	}
	if err := f.unmoved(); err != nil {
		return err
	}
	f.expected = expected
	return nil
}

// unmoved reports whether the database is where it was when it was locked.
func (f *folder) unmoved() error {
	held, err := f.book.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(f.path())
	if err == nil && identify(there) == identify(held) {
		return nil
	}
	return &GoneError{f.dir, change(FileName, err)}
}

// change returns what became of a file that is not as it was, by what lstat says.
func change(name string, err error) string {
	switch {
	case err == nil:
		return name + " was replaced"
	case errors.Is(err, fs.ErrNotExist):
		return name + " is missing"
	}
	return err.Error()
}

// watched are the files whose places are compared with what is open.
var watched = []string{FileName, FileName + "-wal", FileName + "-shm", LockName}

// mark folds the journal into the database, so that its own file says that it
// is in use. A reader can delay that: it is tried again.
func (s *Store) mark(ctx context.Context) {
	var busy, frames, folded int
	err := s.DB.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &folded)
	s.folder.marked = err == nil && busy == 0 && folded == frames
}

// leave notes the clean end. Where that fails, the journal stays: without it the
// next start would look for what was in it.
func (s *Store) leave() {
	ctx := context.Background()
	err := s.Attached(ctx)
	if err == nil {
		err = s.clean(ctx)
	}
	if err != nil {
		s.keepJournal(ctx)
	}
}

// keepJournal has SQLite leave the journal as it is when it closes the database.
func (s *Store) keepJournal(ctx context.Context) error {
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA journal_size_limit = -1"); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		_, err := c.(sqlite.FileControl).FileControlPersistWAL("main", 1)
		return err
	})
}

func (s *Store) clean(ctx context.Context) error {
	return s.transact(ctx, func(tx *sql.Tx) (changed bool, err error) {
		_, err = tx.ExecContext(ctx, `DELETE FROM meta WHERE key = ?`, runningKey)
		return true, err
	})
}

// Attached reports what keeps the ledger from being written: a *CorruptError
// where Check has found damage, a *GoneError where the state folder does not
// hold what is open. It brings back what was removed.
func (s *Store) Attached(ctx context.Context) error {
	if s.folder == nil {
		return nil
	}
	s.attaching.Lock()
	defer s.attaching.Unlock()
	if corrupt := s.damage.Load(); corrupt != nil {
		return corrupt
	}
	if s.folder.expected == nil { // it could not be opened again before
		if err := s.enter(ctx); err != nil {
			return err
		}
	}
	if !s.folder.marked {
		s.mark(ctx)
	}
	for range watched { // each can be lost once
		err := s.folder.compare()
		lost := new(lostError)
		if !errors.As(err, &lost) {
			return err
		}
		if err := s.restore(ctx, lost.name); err != nil {
			return &GoneError{s.folder.dir, fmt.Sprintf("%s was taken away, and cannot be brought back: %v", lost.name, err)}
		}
		s.restored.Store(&lost.name)
	}
	return s.folder.compare()
}

// Restored returns the name of the file that was last taken away and brought
// back, once; "" if there is nothing to report.
func (s *Store) Restored() string {
	if name := s.restored.Swap(nil); name != nil {
		return *name
	}
	return ""
}

// lostError says that a file is gone that can be made again.
type lostError struct {
	GoneError
	name string
}

// compare reports what the folder does not hold any more.
func (f *folder) compare() error {
	for _, name := range watched {
		info, err := os.Lstat(filepath.Join(f.dir, name))
		if err == nil && f.expected[name] == identify(info) {
			continue
		}
		gone := GoneError{f.dir, change(name, err)}
		if held, failed := f.book.Stat(); name == FileName && (failed != nil || !errors.Is(err, fs.ErrNotExist) || held.Sys().(*syscall.Stat_t).Nlink > 0) {
			return &gone // another may have it, or be about to
		}
		return &lostError{gone, name}
	}
	return nil
}

// restore brings back a file that was taken away. All that the lost journal held is folded into the
// database before it is opened again: the open descriptor has it.
func (s *Store) restore(ctx context.Context, name string) error {
	if name == FileName {
		return s.putBack(ctx)
	}
	if name != LockName {
		if err := s.refold(ctx); err != nil {
			return err
		}
		return s.enter(ctx)
	}
	renewed, err := lock(s.folder.dir)
	if err != nil {
		return err
	}
	info, err := renewed.Stat()
	if err != nil {
		renewed.Close()
		return err
	}
	s.folder.replaceLock(renewed)
	s.folder.expected[LockName] = identify(info)
	return nil
}

func (f *folder) replaceLock(renewed *os.File) {
	f.noting.Lock()
	defer f.noting.Unlock()
	f.lock.Close()
	f.lock = renewed
	note(f.lock, memory{ledger: f.id, commits: f.commits, boot: BootID()})
}

// refold folds the open journal into the database and closes the connection:
// the next one begins another journal.
func (s *Store) refold(ctx context.Context) error {
	if err := s.clean(ctx); err != nil {
		return err
	}
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var busy, frames, folded int
	if err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &folded); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("others read it")
	}
	err = conn.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	if errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

// putBack writes a database that was deleted into its folder again, from the open
// descriptor. One that was moved is somewhere, and another process may have it.
func (s *Store) putBack(ctx context.Context) error {
	f, path := s.folder, s.folder.path()
	draft := path + DraftSuffix
	if err := makeFolder(f.dir); err != nil {
		return err
	}
	if info, err := os.Lstat(filepath.Join(f.dir, LockName)); err != nil || identify(info) != f.expected[LockName] {
		if err := s.restore(ctx, LockName); err != nil {
			return err
		}
	}
	if err := errors.Join(s.clean(ctx), removeDraft(path)); err != nil {
		return err
	}
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", draft); err != nil {
		return err
	}
	if err := finish(draft); err != nil {
		return err
	}
	for _, suffix := range journals { // they belong to the deleted database
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	old := f.book
	if err := f.lockBook(); err != nil {
		return err
	}
	conn.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	return errors.Join(old.Close(), syncPath(f.dir), s.enter(ctx))
}

// BootID returns the name of the machine's present start; "" if it is unknown.
var BootID = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
})
