package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meterlog/meterlog/internal/store"
)

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	l := used(t, dir)
	if _, err := Remove(t.Context(), dir); !isA[*LockedError](err) {
		t.Fatalf("while it is in use: %v", err)
	}
	left := crash(t, dir) // with its journal
	check(t, l.Close())
	check(t, os.WriteFile(filepath.Join(left, FileName+".new"), nil, 0o600))
	removed, err := Remove(t.Context(), left)
	if err != nil || removed.Unsettled != 2 || removed.Units != 8 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	for _, name := range []string{FileName, FileName + "-wal", FileName + ".new"} {
		if !slices.Contains(removed.Files, name) {
			t.Errorf("%s is not among %v", name, removed.Files)
		}
	}
	for _, entry := range must(os.ReadDir(left)) {
		if entry.Name() != store.LockName {
			t.Errorf("%s is left", entry.Name())
		}
	}
	if removed, err := Remove(t.Context(), dir); err != nil || len(removed.Files) == 0 {
		t.Errorf("with the lock that remembers it: %+v, %v", removed, err)
	}
	check(t, open(t, dir).Close())
	if removed, err := Remove(t.Context(), left); err != nil || len(removed.Files) != 0 {
		t.Errorf("a second time: %+v, %v", removed, err)
	}
	if n := len(records(t, open(t, left), Filter{})); n != 0 {
		t.Errorf("a new ledger holds %d records", n)
	}
}

func TestRemoveMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if removed, err := Remove(t.Context(), dir); err != nil || len(removed.Files) != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// What a removal that was broken off left behind, or damage, is removed, too.
func TestRemoveOfRuins(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, FileName+"-wal"), []byte("journal"), 0o600))
	if removed, err := Remove(t.Context(), dir); err != nil || removed.Unsettled != 0 || len(removed.Files) != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	check(t, os.WriteFile(filepath.Join(dir, FileName), []byte("ruin"), 0o600))
	if removed, err := Remove(t.Context(), dir); err != nil || removed.Unsettled != -1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	check(t, open(t, dir).Close())
}
