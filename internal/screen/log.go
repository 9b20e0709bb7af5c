package screen

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// journalHandler writes each record with its priority and without a time: the
// journal has both of its own.
type journalHandler struct {
	slog.Handler
	out *prioritized
}

// prioritized writes what a handler writes behind a priority.
type prioritized struct {
	mu       sync.Mutex
	w        io.Writer
	priority string
}

func (p *prioritized) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.priority), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// NewJournalHandler returns a handler for the journal behind w. build makes the
// handler that writes the rest.
func NewJournalHandler(w io.Writer, options *slog.HandlerOptions, build func(io.Writer, *slog.HandlerOptions) slog.Handler) slog.Handler {
	timeless := *options
	timeless.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	out := &prioritized{w: w}
	return &journalHandler{build(out, &timeless), out}
}

// Handle writes one record.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.priority = priorityOf(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns a handler whose records have these attributes too.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup returns a handler whose records have their attributes in a group.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{h.Handler.WithGroup(name), h.out}
}

func priorityOf(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return PriorityError
	case level >= slog.LevelWarn:
		return PriorityWarning
	case level >= slog.LevelInfo:
		return PriorityInfo
	}
	return PriorityDebug
}
