package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sums are what a writer has written in all its runs: what is to be billed.
type sums struct {
	Lines  int64 `json:"lines"`
	Events int64 `json:"events"` // lines that count
	Bytes  int64 `json:"bytes"`  // that the exporter's events name
}

// writer is an application that logs.
type writer struct {
	kind, log, file string // file is where the sums are kept between its runs
	sums            sums
	pen             *os.File // locked while a line is written
}

const linePause = 5 * time.Millisecond // 200 lines a second

// write runs until SIGTERM, and then notes its sums.
func write(args []string) error {
	var w writer
	flags := flag.NewFlagSet("write", flag.ExitOnError)
	flags.StringVar(&w.kind, "kind", "mailer", "mailer or exporter")
	flags.StringVar(&w.log, "log", "", "the log")
	flags.StringVar(&w.file, "sums", "", "where the sums are kept")
	flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := w.recall(); err != nil {
		return err
	}
	pen, err := os.Create(w.log + ".pen")
	if err != nil {
		return err
	}
	w.pen = pen
	if err := w.run(ctx); err != nil {
		return err
	}
	return w.note()
}

// run writes lines. At SIGHUP it opens the log again, as logrotate requires.
func (w *writer) run(ctx context.Context) error {
	log, err := w.open()
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ticker := time.NewTicker(linePause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return log.Close()
		case <-hangups:
			log.Close()
			if log, err = w.open(); err != nil {
				return err
			}
		case <-ticker.C:
			if err := w.writeLine(log); err != nil {
				return err
			}
		}
	}
}

func (w *writer) open() (*os.File, error) {
	return os.OpenFile(w.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// writeLine writes the next line, unless the log's rotation asks for a pause.
// A caller that must not meet a half-written line locks the pen first.
func (w *writer) writeLine(log *os.File) error {
	if err := syscall.Flock(int(w.pen.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	defer syscall.Flock(int(w.pen.Fd()), syscall.LOCK_UN)
	if _, err := os.Stat(w.log + ".pause"); err == nil {
		return nil
	}
	next := w.sums
	line := next.line(w.kind)
	if _, err := log.WriteString(line); err != nil {
		return err
	}
	w.sums = next
	return nil
}

// line adds the next line and returns it. Every third counts for nothing.
func (s *sums) line(kind string) string {
	s.Lines++
	at := time.Now().UTC().Format(time.RFC3339Nano)
	counts := s.Lines%3 != 0
	if counts {
		s.Events++
	}
	bytes := s.Lines * 7919 % 5000
	switch {
	case kind == "mailer" && counts:
		return fmt.Sprintf("%s email sent n=%d\n", at, s.Lines)
	case kind == "mailer":
		return fmt.Sprintf("%s queue is empty n=%d\n", at, s.Lines)
	case counts:
		s.Bytes += bytes
		return fmt.Sprintf(`{"at":%q,"event":"export.finished","bytes":%d}`+"\n", at, bytes)
	}
	return fmt.Sprintf(`{"at":%q,"event":"export.started","bytes":%d}`+"\n", at, bytes)
}

// recall takes the sums of earlier runs.
func (w *writer) recall() error {
	data, err := os.ReadFile(w.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &w.sums)
}

func (w *writer) note() error {
	data, err := json.Marshal(w.sums)
	if err != nil {
		return err
	}
	return os.WriteFile(w.file, data, 0o600)
}
