package tailer

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/logfile"
)

// watcher brings notifications of changes in the folders of followed files.
// They are hints: a missing one costs time, never a line. A nil watcher brings
// none.
type watcher struct {
	notify  *fsnotify.Watcher
	watch   func(folder string) error // notify.Add
	log     *slog.Logger
	folders map[string]bool // watched; false where that failed
	lastHit time.Time
}

// newWatcher returns nil if the system offers no notifications.
func newWatcher(log *slog.Logger) *watcher {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no notifications of file changes: polling every second", "error", err)
		return nil
	}
	return &watcher{notify: notify, watch: notify.Add, log: log, folders: make(map[string]bool)}
}

func (w *watcher) Close() {
	if w != nil {
		w.notify.Close()
	}
}

// follow watches the folders of the sources and of the files that a scan
// found, and reports whether all of them are watched.
func (w *watcher) follow(sources []Source, entries []entry) bool {
	if w == nil {
		return false
	}
	wanted := make(map[string]bool)
	for _, s := range sources {
		for _, pattern := range s.Paths {
			wanted[glob.Root(pattern)] = true
		}
	}
	for _, e := range entries {
		wanted[filepath.Dir(e.name)] = true
		if !w.folders[filepath.Dir(e.name)] { // look through symbolic links once
			if target, err := filepath.EvalSymlinks(e.name); err == nil {
				wanted[filepath.Dir(target)] = true
			}
		}
	}
	all := true
	for dir := range wanted {
		if !w.folders[dir] {
			all = w.add(dir) && all
		}
	}
	return all
}

func (w *watcher) add(dir string) bool {
	err := w.watch(dir)
	if _, tried := w.folders[dir]; err != nil && !tried && !logfile.IsMissing(err) {
		w.log.Warn("folder cannot be watched: polling it every second", "folder", dir, "error", err)
	}
	if err == nil || !logfile.IsMissing(err) {
		w.folders[dir] = err == nil
	}
	return err == nil
}

// hints is what notifications say of the time since the last wait.
type hints struct {
	written []string // names of files that were written to, or had their mode changed
	moved   []string // names that came or went
	missed  bool     // there was more than could be kept
}

// wait returns when something may have changed, at the latest after the
// timeout or when ctx ends.
func (w *watcher) wait(ctx context.Context, timeout time.Duration) (h hints) {
	if w == nil {
		sleep(ctx, timeout)
		return h
	}
	if pause := min(timeout, minWakePause-time.Since(w.lastHit)); pause > 0 {
		sleep(ctx, pause)
		timeout -= pause
	}
	if ctx.Err() == nil && w.takeWithin(ctx, &h, timeout) {
		w.lastHit = time.Now()
		w.takeRest(ctx, &h)
	}
	return h
}

// sleep returns after a time, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// heard returns what notifications have said already, without waiting for more.
func (w *watcher) heard() (h hints) {
	if w != nil && w.takeNow(&h) {
		w.takeRest(context.Background(), &h)
	}
	return h
}

const (
	maxHints  = 1000                   // that one wait returns, at most
	stormLull = 100 * time.Microsecond // between the events of a storm, as of a rotation of many files: they come one by one
)

// takeRest takes what has come behind a notification. In a storm of new names it waits
// a moment for the rest. In a stream of writes it does not wait, as the files have all
// of it.
func (w *watcher) takeRest(ctx context.Context, h *hints) {
	for range maxHints {
		runtime.Gosched() // another goroutine hands them over one by one
		if !w.takeNow(h) && (len(h.moved) == 0 || !w.takeWithin(ctx, h, stormLull)) {
			return
		}
	}
}

// takeNow takes a notification that has come, and reports whether there was one.
func (w *watcher) takeNow(h *hints) bool {
	select {
	case event := <-w.notify.Events:
		w.take(h, event)
	case err := <-w.notify.Errors:
		w.lost(h, err)
	default:
		return false
	}
	return true
}

// takeWithin takes the next notification, and reports whether one came in time.
func (w *watcher) takeWithin(ctx context.Context, h *hints, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case event := <-w.notify.Events:
		w.take(h, event)
	case err := <-w.notify.Errors:
		w.lost(h, err)
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	}
	return true
}

func (w *watcher) take(h *hints, event fsnotify.Event) {
	if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
		if w.folders[event.Name] { // its watch went with it
			delete(w.folders, event.Name)
			h.missed = true
		}
	}
	list := &h.written
	if event.Has(fsnotify.Create) || event.Has(fsnotify.Rename) || event.Has(fsnotify.Remove) {
		list = &h.moved
	}
	if n := len(*list); n == 0 || (*list)[n-1] != event.Name {
		*list = append(*list, event.Name)
	}
}

func (w *watcher) lost(h *hints, err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.log.Warn("notifications of file changes", "error", err)
	}
	h.missed = true
}
