package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// archive is a file that holds lines of a log, and is removed a while later.
type archive struct {
	path   string
	made   time.Time
	events int64 // events of the log up to its end
}

// expire removes archives that are old enough and whose lines were accepted.
// Most go away while the agent still has them open.
func (w *writer) expire() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.archives) > 0 && time.Since(w.archives[0].made) > *retention && w.accepted() >= w.archives[0].events {
		if err := os.Remove(w.archives[0].path); err != nil {
			return err
		}
		w.archives = w.archives[1:]
	}
	return nil
}

func (w *writer) keepFor(path string) {
	w.archives = append(w.archives, archive{path, time.Now(), w.events})
}

// accepted returns how many events of the log the API has.
func (w *writer) accepted() int64 {
	for _, t := range w.model.Totals() {
		if t.SKU == "sku-"+w.name {
			return t.Quantity
		}
	}
	return 0
}

// pack writes a compressed copy of a file.
func pack(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(data)
	if err := errors.Join(err, z.Close()); err != nil {
		return err
	}
	return os.WriteFile(to, packed.Bytes(), 0o644)
}

// archiveThatVanishes rotates and compresses the log, and removes the archive
// after seconds.
func (w *writer) archiveThatVanishes() error {
	rotated := fmt.Sprintf("%s.%d", w.path, time.Now().UnixMilli())
	if err := os.Rename(w.path, rotated); err != nil {
		return err
	}
	w.file.Close()
	if err := errors.Join(w.open(), pack(rotated, rotated+".gz"), os.Remove(rotated)); err != nil {
		return err
	}
	w.keepFor(rotated + ".gz")
	return nil
}

// archiveUnderAnyName rotates the log into a file whose name no rotation has.
func (w *writer) archiveUnderAnyName() error {
	dir := filepath.Dir(w.path)
	forms := []string{"named-%d.log", "named_%d.log", "named%d.log", "2026112%d-named.log", "named-out__2026-11-25_%d.log", "named-before-%d.log"}
	name := filepath.Join(dir, fmt.Sprintf(forms[w.chance.IntN(len(forms))], 1000+w.rotations))
	put := copyFile
	if w.chance.IntN(2) == 0 {
		name, put = name+".gz", pack
	}
	if err := put(w.path, name); err != nil {
		return err
	}
	w.keepFor(name)
	switch w.chance.IntN(3) {
	case 0:
		return os.Truncate(w.path, 0)
	case 1:
		if err := os.Remove(w.path); err != nil {
			return err
		}
	default:
		if filepath.Ext(name) == ".gz" {
			return os.Truncate(w.path, 0)
		}
		if err := os.Rename(w.path, name); err != nil { // over the copy
			return err
		}
	}
	w.file.Close()
	return w.open()
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// copyAside makes a copy of the log, plain or compressed, and rotates the log
// now and then.
func (w *writer) copyAside() error {
	name := fmt.Sprintf("%s-before-%d", w.path, w.rotations)
	make := copyFile
	if w.chance.IntN(2) == 0 {
		name, make = name+".gz", pack
	}
	if err := make(w.path, name); err != nil {
		return err
	}
	w.keepFor(name)
	if w.chance.IntN(4) > 0 {
		return nil
	}
	return w.rename()
}

// cutBeginning cuts off lines that were read, in place or in a new file.
func (w *writer) cutBeginning() error {
	position, mark, err := w.agent.position(w)
	if err != nil || position == 0 {
		return err
	}
	data, err := os.ReadFile(w.path)
	if err != nil || int64(len(data)) < position || !bytes.HasSuffix(data[:position], mark) {
		return err
	}
	const left = 20 // lines that were read
	from := position
	for range left + 1 {
		from = int64(bytes.LastIndexByte(data[:max(0, from-1)], '\n') + 1)
	}
	if from == 0 {
		return nil
	}
	if w.chance.IntN(2) == 0 {
		return os.WriteFile(w.path, data[from:], 0o644)
	}
	if err := errors.Join(os.WriteFile(w.path+".new", data[from:], 0o644), os.Rename(w.path+".new", w.path)); err != nil {
		return err
	}
	w.file.Close()
	return w.open()
}

// linkAside gives the log another name, by a hard or a symbolic link, and
// rotates it now and then.
func (w *writer) linkAside() error {
	name := fmt.Sprintf("names-%d-link.log", w.rotations)
	name = filepath.Join(filepath.Dir(w.path), name)
	link := os.Link
	if w.chance.IntN(2) == 0 {
		link = os.Symlink
	}
	if err := link(w.path, name); err != nil {
		return err
	}
	w.keepFor(name)
	if w.chance.IntN(3) > 0 {
		return nil
	}
	return w.rename()
}
