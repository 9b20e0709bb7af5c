package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/store"
)

// files is what the folder holds, by name, except the lock and for the memory
// that connections share while they last.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	held := make(map[string]string)
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		if e.Name() != store.LockName && !strings.HasSuffix(e.Name(), "-shm") && !e.IsDir() {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			check(t, err)
			held[e.Name()] = string(data)
		}
	}
	return held
}

// crash copies the folder of an open ledger, as a kill would leave it.
func crash(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	for name, data := range files(t, dir) {
		check(t, os.WriteFile(filepath.Join(left, name), []byte(data), 0o640))
	}
	return left
}

// full makes a folder with a ledger of many pages.
func full(t *testing.T) string {
	dir := t.TempDir()
	l := open(t, dir)
	amounts := make(map[meter.Window]int64)
	for i := range 300 {
		amounts[minute(i)] = 1
	}
	check(t, l.Commit(t.Context(), counts(mails, amounts), noon))
	check(t, l.Close())
	return dir
}

func TestDamagedLedgerIsRefusedAndLeftAlone(t *testing.T) {
	whole := files(t, full(t))[FileName]
	pages := len(whole) / 4096
	overwritten := func(page, at int, with []byte) string {
		data := []byte(whole)
		copy(data[page*4096+at:], with)
		return string(data)
	}
	for name, data := range map[string]string{
		"cut":         whole[:len(whole)/2/4096*4096],
		"cut askew":   whole[:len(whole)-1000],
		"last page":   whole[:len(whole)-100],
		"one byte":    whole[:1],
		"header only": whole[:100],
		"a zero page": overwritten(pages/2, 0, make([]byte, 4096)),
		"zero root":   overwritten(0, 0, make([]byte, 4096)),
		"zero middle": overwritten(2, 0, make([]byte, 4096*(pages/2))),
		"scrambled":   overwritten(pages/2, 0, bytes.Repeat([]byte{0xa5}, 4096)),
		"empty":       "",
		"all zero":    strings.Repeat("\x00", len(whole)),
		"garbage":     strings.Repeat("no database at all\n", 1000),
		"not ours":    overwritten(0, 68, []byte("abcd")), // application_id
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.WriteFile(filepath.Join(dir, FileName), []byte(data), 0o640))
			refused(t, dir)
		})
	}
}

// refused wants Open to call the ledger damaged, and to change nothing.
func refused(t *testing.T, dir string) {
	t.Helper()
	before := files(t, dir)
	for range 2 { // nor begin again the next time
		l, err := Open(t.Context(), dir)
		if err == nil {
			l.Close()
			t.Fatal("it was opened")
		}
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Path != filepath.Join(dir, FileName) || corrupt.Detail == "" {
			t.Fatalf("%#v, want a CorruptError", err)
		}
		if !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%q does not say what to do", err)
		}
	}
	if after := files(t, dir); !maps.Equal(after, before) {
		t.Errorf("the folder held %v, and holds %v now", names(before), names(after))
	}
}

// names tells what a folder held without its bytes.
func names(held map[string]string) []string {
	return slices.Sorted(maps.Keys(held))
}

func TestDamagedLedgerWithItsJournal(t *testing.T) {
	dir := full(t)
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1) // is in the journal alone
	left := crash(t, dir)
	path := filepath.Join(left, FileName)
	data, err := os.ReadFile(path)
	check(t, err)
	clear(data[len(data)/2 : len(data)/2+3*4096])
	check(t, os.WriteFile(path, data, 0o640))
	if len(files(t, left)[FileName+"-wal"]) == 0 {
		t.Fatal("there is no journal")
	}
	refused(t, left)
}

func TestMissingLedgerIsNotBegunAnew(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"its index is left":            func(path string) error { return os.WriteFile(path+"-shm", nil, 0o640) },
		"it is a link to nowhere":      func(path string) error { return os.Symlink("/nowhere/ledger.db", path) },
		"it is a folder":               func(path string) error { return os.Mkdir(path, 0o750) },
		"its rollback journal is left": func(path string) error { return os.WriteFile(path+"-journal", nil, 0o640) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, leave(filepath.Join(dir, FileName)))
			for what, open := range map[string]func() error{
				"written": func() error { _, err := Open(t.Context(), dir); return err },
				"read":    func() error { _, err := OpenReader(dir); return err },
			} {
				if err := open(); !isA[*CorruptError](err) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func TestMissingLedgerWithItsJournalIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	commit(t, l, mails, minute(0), 1)
	left := crash(t, dir)
	check(t, os.Remove(filepath.Join(left, FileName)))
	refused(t, left)
}

// A database of somebody else is not touched either, whatever its mode.
func TestForeignDatabaseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	db := must(store.Connect(filepath.Join(dir, FileName), "rwc"))
	for _, statement := range []string{"PRAGMA journal_mode = DELETE", "CREATE TABLE mine (x)", "INSERT INTO mine VALUES (1)"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	check(t, db.Close())
	refused(t, dir)
}

func TestCrashWhileTheLedgerIsMade(t *testing.T) {
	for name, leftover := range map[string]string{
		"":         "",
		"-wal":     "half a journal",
		"-shm":     strings.Repeat("\x00", 32768),
		"-journal": "half a journal",
	} {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, FileName+".new"), []byte("half a database"), 0o640))
		check(t, os.WriteFile(filepath.Join(dir, FileName+".new"+name), []byte(leftover), 0o640))
		l := open(t, dir)
		commit(t, l, mails, minute(0), 1)
		check(t, l.Close())
		if held := names(files(t, dir)); !slices.Equal(held, []string{FileName}) {
			t.Errorf("with %q left over, the folder holds %v", FileName+".new"+name, held)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := full(t)
	db := must(store.Connect(filepath.Join(dir, FileName), "rw"))
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	check(t, db.Close())
	before := files(t, dir)
	_, err := Open(t.Context(), dir)
	if err == nil || isA[*CorruptError](err) || !strings.Contains(err.Error(), "schema version is 1000") || !strings.Contains(err.Error(), "install the newer meterlog") {
		t.Errorf("%v", err)
	}
	if !maps.Equal(files(t, dir), before) {
		t.Error("the folder has changed")
	}
}

func TestFoldersWithOddNames(t *testing.T) {
	for _, name := range []string{"a b%?#", "ü&=;+", "-", "%20", "file:x", "?mode=memory", "a'\"\\b"} {
		for _, relative := range []bool{false, true} {
			parent := t.TempDir()
			dir := filepath.Join(parent, name)
			if relative {
				t.Chdir(parent)
				dir = name
			}
			l := open(t, dir)
			commit(t, l, mails, minute(0), 3)
			check(t, l.Close())
			l = open(t, dir)
			if r := one(t, l, Filter{}); r.Quantity != 3 {
				t.Errorf("%q: %+v", dir, r)
			}
			r := must(OpenReader(dir))
			check(t, r.Close())
			check(t, l.Close())
			if _, err := os.Stat(filepath.Join(parent, name, FileName)); err != nil {
				t.Errorf("%q: %v", dir, err)
			}
			if entries := must(os.ReadDir(parent)); len(entries) != 1 {
				t.Errorf("%q: beside it is %v", dir, entries)
			}
			audit(t, dir)
		}
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	check(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if _, err := Open(t.Context(), dir); !errors.Is(err, fs.ErrPermission) || isA[*CorruptError](err) {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "state")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder in it: %v", err)
	}
}

func TestFolderThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	check(t, os.WriteFile(path, nil, 0o640))
	if _, err := Open(t.Context(), path); err == nil || isA[*CorruptError](err) {
		t.Errorf("%v", err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// A database that has our mark and holds no ledger, as a recovery that failed
// leaves it.
func TestLedgerWithoutTablesIsRefused(t *testing.T) {
	dir := t.TempDir()
	db := must(store.Connect(filepath.Join(dir, FileName), "rwc"))
	for _, statement := range []string{"PRAGMA journal_mode = DELETE", fmt.Sprintf("PRAGMA application_id = %d", applicationID), "CREATE TABLE meta (x)"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	check(t, db.Close())
	refused(t, dir)
}
