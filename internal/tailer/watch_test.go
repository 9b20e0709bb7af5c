package tailer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watched starts a tailer with notifications.
func (s *scene) watched() *strings.Builder {
	log := new(strings.Builder)
	s.cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	s.tailer = New(s.cfg)
	if s.tailer.watch == nil {
		s.t.Fatalf("no notifications: %s", log)
	}
	return log
}

// await reads until the line comes, by the clock, and waits in between.
func (s *scene) await(line string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if b, ok := nextOf(s.tailer, time.Now()); !ok {
			s.tailer.Wait(ctx, time.Now().Add(time.Minute))
		} else if got := string(b.Data); got == line+"\n" {
			return
		} else {
			s.t.Fatalf("read %q, want %q", got, line)
		}
	}
	s.t.Fatalf("%q did not come", line)
}

func TestWatchedFolderRemovedAndMadeAgain(t *testing.T) {
	s := follow(t, "sub/*.log")
	s.check(os.Mkdir(s.path("sub"), 0o755))
	s.watched()
	for _, line := range []string{"one", "two", "three"} {
		s.append("sub/app.log", line+"\n")
		s.await(line)
		s.append("sub/app.log", line+" more\n")
		s.await(line + " more")
		s.check(os.RemoveAll(s.path("sub")))
		s.tailer.Wait(t.Context(), time.Now().Add(time.Minute)) // until the notification comes
		s.check(os.Mkdir(s.path("sub"), 0o755))
	}
}

// The slow poll alone follows what cannot be watched for want of watches.
func TestFoldersThatCannotBeWatched(t *testing.T) {
	s := follow(t, "*.log")
	log := s.watched()
	watch := s.tailer.watch.watch
	s.tailer.watch.watch = func(string) error { return syscall.ENOSPC }
	s.append("a.log", "one\n")
	s.expect("one")
	for range 5 {
		s.rename("a.log", "a.log.1")
		s.append("a.log.1", "late\n")
		s.append("a.log", "new\n")
		s.expect("late", "new")
		s.pass(10 * time.Second)
		s.expect()
	}
	if next := s.tailer.nextScan.Sub(s.tailer.lastScan); next != pollUnwatched {
		t.Errorf("the next look is after %v", next)
	}
	if n := strings.Count(log.String(), "cannot be watched"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
	s.tailer.watch.watch = watch
	s.pass(2 * time.Minute) // until nothing waits for a late writer
	s.expect()
	if next := s.tailer.nextScan.Sub(s.tailer.lastScan); next < pollWatched || next > 2*pollWatched {
		t.Errorf("with watches the next look is after %v", next)
	}
}

// Beside many files a scan is dear, and notifications ask for fewer of them.
func TestStormOfNotifications(t *testing.T) {
	s := follow(t, "*.log")
	s.watched()
	nextOf(s.tailer, time.Now())
	for names, pause := range map[int]time.Duration{1: minScanPause, 20_000: 2 * time.Second} {
		s.tailer.scanned, s.tailer.nextScan = names, s.tailer.lastScan.Add(time.Hour)
		s.append(fmt.Sprintf("app%d.log", names), "one\n")
		s.tailer.Wait(t.Context(), time.Now().Add(time.Minute))
		if got := s.tailer.nextScan.Sub(s.tailer.lastScan); got != pause {
			t.Errorf("beside %d files the next scan is after %v, want %v", names, got, pause)
		}
	}
}
