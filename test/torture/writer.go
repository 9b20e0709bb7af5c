package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/sandbox"
)

// writer is an application that logs and whose log is rotated.
type writer struct {
	name, path string
	patterns   []string // of its source
	rotate     func(*writer) error
	logrotate  string // its configuration, where that rotates the log
	blocks     bool   // it writes blocks of 4,096 bytes, which end within a line
	chance     *rand.Rand
	model      *sandbox.Sandbox
	agent      *agent

	mu        sync.Mutex // held while it writes or rotates, and while the power fails
	file      *os.File
	lines     int
	events    int64
	bytes     int64
	rotations int
	buffer    string    // unwritten bytes of a writer of blocks
	archives  []archive // that wait for their removal
}

func newWriters(dir string, model *sandbox.Sandbox, agent *agent) ([]*writer, error) {
	kinds := []struct {
		name    string
		pattern string
		rotate  func(*writer) error
	}{
		{"rename", "rename.log", (*writer).rename},
		{"late", "late.log*", (*writer).renameLate},
		{"compress", "compress.log", (*writer).renameAndCompress},
		{"copytruncate", "copytruncate.log", (*writer).copyTruncate},
		{"link", "link.log", (*writer).switchLink},
		{"vanish", "vanish*.log", (*writer).archiveThatVanishes},
		{"named", "*named*.log", (*writer).archiveUnderAnyName},
		{"copied", "copied*", (*writer).copyAside},
		{"cut", "cut.log", (*writer).cutBeginning},
		{"blocks", "blocks.log", (*writer).copyTruncate},
		{"names", "names*.log", (*writer).linkAside},
	}
	var writers []*writer
	for _, k := range kinds {
		if slices.Contains(strings.Split(*without, ","), k.name) {
			continue
		}
		writers = append(writers, &writer{name: k.name, patterns: []string{filepath.Join(dir, k.pattern)}, rotate: k.rotate, blocks: k.name == "blocks"})
	}
	rotated, err := logrotateWriters(dir)
	if err != nil {
		return nil, err
	}
	writers = append(writers, rotated...)
	for i, w := range writers {
		w.path = filepath.Join(dir, w.name+".log")
		w.model, w.agent = model, agent
		w.chance = rand.New(rand.NewPCG(*seed, uint64(i+1)))
	}
	return writers, nil
}

func (w *writer) run(ctx context.Context) error {
	if err := w.open(); err != nil {
		return err
	}
	const burst = 20 * time.Millisecond
	next := time.Now().Add(*settling + w.nextRotation())
	for ctx.Err() == nil {
		due := time.Now().After(next)
		if err := w.step(int(float64(*rate)*burst.Seconds()), due); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if due {
			next = time.Now().Add(w.nextRotation())
		}
		if err := w.expire(); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		sleep(ctx, burst)
	}
	_, err := w.file.WriteString(w.buffer)
	return errors.Join(err, w.file.Close())
}

func (w *writer) step(lines int, due bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(lines); err != nil || !due {
		return err
	}
	w.rotations++
	return w.rotate(w)
}

func (w *writer) nextRotation() time.Duration {
	return time.Duration((0.2 + 1.6*w.chance.Float64()) * float64(*rotation))
}

func (w *writer) open() (err error) {
	if w.name == "link" && w.rotations == 0 {
		if err := w.link(); err != nil {
			return err
		}
	}
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// write appends n lines; some writes end in the middle of a line, and the rest
// of it comes a moment later.
func (w *writer) write(n int) error {
	var b strings.Builder
	for range n {
		w.lines++
		if w.chance.IntN(5) == 0 {
			fmt.Fprintf(&b, "%s %s:%d housekeeping %d\n", time.Now().Format(time.RFC3339Nano), w.name, w.lines, w.chance.Int())
			continue
		}
		size := w.chance.Int64N(5000)
		w.events++
		w.bytes += size
		fmt.Fprintf(&b, "%s %s:%d event sent size=%d\n", time.Now().Format(time.RFC3339Nano), w.name, w.lines, size)
	}
	text := b.String()
	if w.blocks {
		w.buffer += text
		n := len(w.buffer) / 4096 * 4096
		_, err := w.file.WriteString(w.buffer[:n])
		w.buffer = w.buffer[n:]
		return err
	}
	cut := len(text)
	if w.chance.IntN(4) == 0 && cut > 1 {
		cut = 1 + w.chance.IntN(cut-1)
	}
	if _, err := w.file.WriteString(text[:cut]); err != nil {
		return err
	}
	if cut < len(text) {
		time.Sleep(time.Duration(w.chance.IntN(20)) * time.Millisecond)
	}
	_, err := w.file.WriteString(text[cut:])
	return err
}

// forget takes lines off the account that were lost before anybody read them.
func (w *writer) forget(lines []byte) {
	for line := range bytes.Lines(lines) {
		if _, size, sent := bytes.Cut(bytes.TrimSpace(line), []byte("event sent size=")); sent {
			n, _ := strconv.ParseInt(string(size), 10, 64)
			w.events--
			w.bytes -= n
		}
	}
}
