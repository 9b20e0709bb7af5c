package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// killed leaves a folder as an agent leaves it that was killed after it had
// committed one mail, which only the journal holds.
func killed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	check(t, must(Open(t.Context(), dir)).Close()) // not audited: what becomes of it may be no ledger
	other := hold(t, dir)
	check(t, other.Process.Kill())
	other.Wait()
	return dir
}

func in(dir, name string) string { return filepath.Join(dir, name) }

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		check(t, os.Remove(in(dir, name)))
	}
}

// replace puts a copy of a file in the place of another, as a new file.
func replace(t *testing.T, path, with string) {
	t.Helper()
	data := must(os.ReadFile(with))
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	check(t, os.WriteFile(path, data, 0o640))
}

// opened wants the ledger to hold one record of so many mails.
func opened(t *testing.T, dir string, mails int64) {
	t.Helper()
	l, err := Open(t.Context(), dir)
	check(t, err)
	defer l.Close()
	if got := one(t, l, Filter{}); got.Quantity != mails {
		t.Errorf("the ledger holds %d, want %d", got.Quantity, mails)
	}
}

// What happens to a folder between two runs: it is refused, or nothing is lost.
func TestFolderBetweenTwoRuns(t *testing.T) {
	const wal, shm = FileName + "-wal", FileName + "-shm"
	for name, c := range map[string]struct {
		happens func(t *testing.T, dir string)
		refused string // what the refusal says; "" where it goes on
	}{
		"nothing":         {func(*testing.T, string) {}, ""},
		"lock removed":    {func(t *testing.T, dir string) { remove(t, dir, store.LockName) }, ""},
		"index removed":   {func(t *testing.T, dir string) { remove(t, dir, shm) }, ""},
		"journal removed": {func(t *testing.T, dir string) { remove(t, dir, wal) }, "older state of it, without the last"},
		"journal emptied": {func(t *testing.T, dir string) { check(t, os.Truncate(in(dir, wal), 0)) }, "older state of it, without the last"},
		"journal cut":     {func(t *testing.T, dir string) { check(t, os.Truncate(in(dir, wal), 32)) }, "older state of it, without the last"},
		"journal and lock removed": {func(t *testing.T, dir string) { remove(t, dir, wal, store.LockName) },
			"ledger.db-wal is missing after an end that was not clean"},
		"journal removed, and the machine started again": {func(t *testing.T, dir string) {
			remove(t, dir, wal)
			restarted(t, dir)
		}, "ledger.db-wal is missing after an end that was not clean"},
		"journal folded by another program": {fold, ""},
		"journal folded by another program, lock removed": {func(t *testing.T, dir string) {
			fold(t, dir)
			remove(t, dir, store.LockName)
		}, "ledger.db-wal is missing after an end that was not clean"},
		"all but the lock removed": {func(t *testing.T, dir string) { remove(t, dir, wal, shm, FileName) }, "the file lock remembers it"},
		"database removed":         {func(t *testing.T, dir string) { remove(t, dir, FileName) }, "it is missing, though its ledger.db-wal is there"},
		"an older copy put in its place": {func(t *testing.T, dir string) {
			remove(t, dir, wal, shm)
			replace(t, in(dir, FileName), in(dir, FileName))
		}, "older state of it, without the last"},
		"another ledger put in its place": {func(t *testing.T, dir string) {
			remove(t, dir, wal, shm)
			replace(t, in(dir, FileName), in(full(t), FileName))
		}, "another ledger than the one that the file lock remembers"},
		"database replaced by a link": {func(t *testing.T, dir string) {
			check(t, os.Rename(in(dir, FileName), in(dir, "elsewhere")))
			check(t, os.Symlink("elsewhere", in(dir, FileName)))
		}, "symbolic link"},
		"database replaced by a pipe": {func(t *testing.T, dir string) {
			remove(t, dir, FileName)
			check(t, syscall.Mkfifo(in(dir, FileName), 0o640))
		}, "no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := killed(t)
			c.happens(t, dir)
			if c.refused == "" {
				opened(t, dir, 1)
				return
			}
			for range 2 { // nor the next time
				l, err := Open(t.Context(), dir)
				if err == nil {
					l.Close()
					t.Fatal("it was opened")
				}
				if !isA[*CorruptError](err) || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("%v: want a CorruptError that says %q", err, c.refused)
				}
			}
		})
	}
}

// fold folds the journal as sqlite3 does when it closes the database.
func fold(t *testing.T, dir string) {
	t.Helper()
	db := must(store.Connect(in(dir, FileName), "rw"))
	_, err := db.Exec("SELECT count(*) FROM records")
	check(t, errors.Join(err, db.Close()))
	if _, err := os.Stat(in(dir, FileName+"-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the journal is still there: %v", err)
	}
}

// restarted makes the lock one that was written before the machine was started
// again, and whose last writes were lost with that.
func restarted(t *testing.T, dir string) {
	t.Helper()
	text := string(must(os.ReadFile(in(dir, store.LockName))))
	boot := strings.TrimSpace(string(must(os.ReadFile("/proc/sys/kernel/random/boot_id"))))
	older := strings.Replace(regexp.MustCompile("commits [0-9]+").ReplaceAllString(text, "commits 1"), boot, "another", 1)
	if older == text {
		t.Fatalf("the lock holds %q", text)
	}
	check(t, os.WriteFile(in(dir, store.LockName), []byte(older), 0o640))
}

// An operator says that an older state is meant by removing the lock.
func TestBackupIsRestored(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	backup := in(t.TempDir(), "copy.db")
	_, err := l.db.Exec("VACUUM INTO ?", backup)
	check(t, err)
	commit(t, l, mails, minute(0), 1)
	check(t, l.Close())
	replace(t, in(dir, FileName), backup)
	if _, err := Open(t.Context(), dir); !isA[*CorruptError](err) {
		t.Fatalf("with the lock that remembers a newer state: %v", err)
	}
	remove(t, dir, store.LockName)
	opened(t, dir, 1)
}

// What happens to a folder under the agent. Where it goes on, all is in the
// ledger in the end, even if the agent is killed.
func TestFolderUnderTheAgent(t *testing.T) {
	const wal, shm = FileName + "-wal", FileName + "-shm"
	for name, c := range map[string]struct {
		happens func(t *testing.T, dir string)
		undo    func(t *testing.T, dir string)
		gone    string // what the agent says; "" where it goes on
	}{
		"lock removed":    {happens: func(t *testing.T, dir string) { remove(t, dir, store.LockName) }},
		"lock replaced":   {happens: func(t *testing.T, dir string) { replace(t, in(dir, store.LockName), in(dir, store.LockName)) }},
		"journal removed": {happens: func(t *testing.T, dir string) { remove(t, dir, wal) }},
		"index removed":   {happens: func(t *testing.T, dir string) { remove(t, dir, shm) }},
		"journal replaced": {happens: func(t *testing.T, dir string) {
			replace(t, in(dir, wal), in(dir, wal))
		}},
		"all of these removed": {happens: func(t *testing.T, dir string) { remove(t, dir, store.LockName, wal, shm) }},
		"database removed":     {happens: func(t *testing.T, dir string) { remove(t, dir, FileName) }},
		"everything removed": {happens: func(t *testing.T, dir string) {
			for _, name := range must(filepath.Glob(in(dir, "*"))) {
				check(t, os.Remove(name))
			}
		}},
		"folder removed": {happens: func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) }},
		"database moved": {
			happens: func(t *testing.T, dir string) { check(t, os.Rename(in(dir, FileName), in(dir, "aside"))) },
			undo:    func(t *testing.T, dir string) { check(t, os.Rename(in(dir, "aside"), in(dir, FileName))) },
			gone:    "ledger.db is missing",
		},
		"database replaced": {
			happens: func(t *testing.T, dir string) {
				check(t, os.Link(in(dir, FileName), in(dir, "aside")))
				replace(t, in(dir, FileName), in(dir, FileName))
			},
			undo: func(t *testing.T, dir string) { check(t, os.Rename(in(dir, "aside"), in(dir, FileName))) },
			gone: "ledger.db was replaced",
		},
		"folder moved": {
			happens: func(t *testing.T, dir string) { check(t, os.Rename(dir, dir+"-aside")) },
			undo:    func(t *testing.T, dir string) { check(t, os.Rename(dir+"-aside", dir)) },
			gone:    "ledger.db is missing",
		},
		"folder replaced": {
			happens: func(t *testing.T, dir string) {
				check(t, os.Rename(dir, dir+"-aside"))
				check(t, open(t, dir).Close())
			},
			undo: func(t *testing.T, dir string) {
				check(t, os.RemoveAll(dir))
				check(t, os.Rename(dir+"-aside", dir))
			},
			gone: "ledger.db was replaced",
		},
		"lock replaced by a link": {
			happens: func(t *testing.T, dir string) {
				remove(t, dir, store.LockName)
				check(t, os.Symlink("elsewhere", in(dir, store.LockName)))
			},
			undo: func(t *testing.T, dir string) { remove(t, dir, store.LockName) },
			gone: "symbolic link",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := in(t.TempDir(), "state")
			l := open(t, dir)
			commit(t, l, mails, minute(0), 1)
			c.happens(t, dir)
			if c.gone != "" {
				err := l.Commit(t.Context(), counts(mails, map[meter.Window]int64{minute(0): 1}), noon)
				if !isA[*GoneError](err) || !strings.Contains(err.Error(), c.gone) {
					t.Fatalf("%v: want a GoneError that says %q", err, c.gone)
				}
				c.undo(t, dir)
			}
			commit(t, l, mails, minute(0), 1)
			if _, err := Open(t.Context(), dir); !isA[*LockedError](err) {
				t.Errorf("another agent: %v", err)
			}
			if _, running := Owner(dir); !running {
				t.Error("nobody seems to write it")
			}
			opened(t, crash(t, dir), 2)
			remove(t, dir, store.LockName)
			if _, err := Open(t.Context(), dir); !isA[*LockedError](err) {
				t.Errorf("another agent, after the lock was removed: %v", err)
			}
			check(t, l.Close())
			opened(t, dir, 2)
		})
	}
}

// All that a lost journal held is folded into the database, although another
// connection keeps SQLite from doing so when it closes.
func TestJournalIsLostBesideAReader(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	r := must(OpenReader(dir))
	defer r.Close()
	remove(t, dir, FileName+"-wal")
	commit(t, l, mails, minute(0), 1)
	opened(t, crash(t, dir), 2)
}

// An end that could not be noted, as on a full disk, is no damage after the next
// start of the machine.
func TestEndThatCannotBeNoted(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	_, err := l.db.Exec("CREATE TRIGGER failing BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
	check(t, err)
	check(t, l.Close())
	restarted(t, dir)
	l = must(Open(t.Context(), dir))
	_, err = l.db.Exec("DROP TRIGGER failing")
	check(t, errors.Join(err, l.Close()))
	opened(t, dir, 1)
}

// The database itself is locked: who removes the lock lets no second agent in.
func TestLockRemovedBeforeAnotherAgentStarts(t *testing.T) {
	dir := t.TempDir()
	hold(t, dir)
	remove(t, dir, store.LockName)
	l, err := Open(t.Context(), dir)
	if err == nil {
		l.Close()
	}
	if !isA[*LockedError](err) {
		t.Errorf("another agent: %v", err)
	}
}

// An agent whose folder another one has now leaves that one's files alone when it
// ends.
func TestEndAfterTheFolderWasReplaced(t *testing.T) {
	dir := in(t.TempDir(), "state")
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	check(t, os.RemoveAll(dir))
	hold(t, dir)
	before := names(files(t, dir))
	if err := l.Commit(t.Context(), counts(mails, map[meter.Window]int64{minute(0): 1}), noon); !isA[*GoneError](err) {
		t.Errorf("a commit: %v", err)
	}
	check(t, l.Close())
	if after := names(files(t, dir)); !slices.Equal(before, after) {
		t.Errorf("of %v are left %v", before, after)
	}
}

// Links that lead out of the folder are refused, and what they lead to stays as
// it is.
func TestLinksInTheFolder(t *testing.T) {
	const text = "not of meterlog"
	for _, name := range []string{store.LockName, FileName, FileName + "-wal", FileName + "-shm", FileName + "-journal", FileName + store.DraftSuffix, FileName + store.DraftSuffix + "-wal"} {
		for how, link := range map[string]func(target, path string) error{"symbolic": os.Symlink, "hard": os.Link} {
			for what, act := range map[string]func(dir string) error{
				"opened": func(dir string) error {
					l, err := Open(t.Context(), dir)
					if err == nil {
						l.Close()
					}
					return err
				},
				"removed": func(dir string) error { _, err := Remove(t.Context(), dir); return err },
				"read": func(dir string) error {
					r, err := OpenReader(dir)
					if err == nil {
						r.Close()
					}
					return err
				},
				"queued again": func(dir string) error { _, err := Requeue(t.Context(), dir, []string{"x"}, nil, noon); return err },
			} {
				t.Run(name+" "+how+" "+what, func(t *testing.T) {
					outside := in(t.TempDir(), "victim")
					check(t, os.WriteFile(outside, []byte(text), 0o600))
					if os.Geteuid() == 0 {
						check(t, os.Chown(outside, 1, 1))
					}
					before := must(os.Stat(outside))
					dir := t.TempDir()
					check(t, link(outside, in(dir, name)))
					err := act(dir)
					if how == "symbolic" && name == store.LockName && what != "read" && err == nil {
						t.Error("the link was followed")
					}
					after := must(os.Stat(outside))
					if data := must(os.ReadFile(outside)); string(data) != text && (how == "symbolic" || os.Geteuid() == 0) {
						t.Errorf("outside is %q now", data)
					}
					if how == "symbolic" || os.Geteuid() == 0 {
						if b, a := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t); a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid {
							t.Errorf("outside it is %o of %d:%d now", a.Mode, a.Uid, a.Gid)
						}
					}
				})
			}
		}
	}
}

// An earlier edition could rename a draft whose journal it had not folded into
// it. Such a ledger holds nothing and is made again.
func TestHalfMadeLedgerOfAnEarlierEdition(t *testing.T) {
	draft := in(t.TempDir(), FileName)
	db := must(store.Connect(draft, "rwc"))
	defer db.Close()
	_, err := db.Exec("PRAGMA application_id = 1835822951")
	check(t, err)
	check(t, migrate(t.Context(), db))
	journal := must(os.ReadFile(draft + "-wal"))
	_, err = db.Exec("PRAGMA wal_checkpoint(FULL)")
	check(t, err)
	whole := must(os.ReadFile(draft))
	for _, pages := range []int{0, 1, 3, len(whole) / 4096} {
		dir := t.TempDir()
		check(t, os.WriteFile(in(dir, FileName), whole[:pages*4096], 0o640))
		check(t, os.WriteFile(in(dir, FileName+".new-wal"), journal, 0o640))
		check(t, os.WriteFile(in(dir, FileName+".new-shm"), make([]byte, 32768), 0o640))
		l := open(t, dir)
		commit(t, l, mails, minute(0), 1)
		check(t, l.Close())
		if held := names(files(t, dir)); !slices.Equal(held, []string{FileName}) {
			t.Errorf("with %d pages: the folder holds %v", pages, held)
		}
	}

	// With a page that the draft never had, it is somebody's ledger.
	dir := t.TempDir()
	own := slices.Clone(whole[:3*4096])
	own[2*4096+100] ^= 1
	check(t, os.WriteFile(in(dir, FileName), own, 0o640))
	check(t, os.WriteFile(in(dir, FileName+".new-wal"), journal, 0o640))
	refused(t, dir)

	// And so it is if it has a journal of its own.
	dir = t.TempDir()
	for name, data := range map[string][]byte{FileName: whole[:3*4096], FileName + ".new-wal": journal, FileName + "-wal": []byte("something")} {
		check(t, os.WriteFile(in(dir, name), data, 0o640))
	}
	refused(t, dir)
}
