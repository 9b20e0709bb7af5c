package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
)

// To ask for the owner takes the lock for an instant. That must not keep an
// agent from starting.
func TestOwnerDoesNotHinderAStart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := must(os.Create(filepath.Join(dir, LockName)))
		defer f.Close()
		check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_SH)) // as Owner does
		locked := make(chan error)
		go func() {
			held, err := lock(dir)
			if err == nil {
				err = held.Close()
			}
			locked <- err
		}()
		synctest.Wait() // it has tried
		check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
		if err := <-locked; err != nil {
			t.Error(err)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
