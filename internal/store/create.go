package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
)

// DraftSuffix is added to the name of a ledger that is being made.
const DraftSuffix = ".new"

// journals are the files that SQLite may keep beside a database, by what they
// add to its name.
var journals = []string{"-wal", "-shm", "-journal"}

// create writes an empty ledger under another name, checks it and renames it.
// There is never a journal. So whatever stops it, the folder holds either
// nothing or a whole ledger.
func create(ctx context.Context, path string, schema Schema) error {
	image, err := blank(ctx, schema)
	if err != nil {
		return err
	}
	if err := removeDraft(path); err != nil {
		return err
	}
	draft := path + DraftSuffix
	err = writeFile(draft, image)
	if err == nil {
		_, err = examine(ctx, draft, schema, true)
	}
	if err != nil {
		os.Remove(draft) // a full disk has use for its room
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// removeDraft removes what a creation that was broken off has left.
func removeDraft(path string) error {
	for _, suffix := range append([]string{""}, journals...) {
		if err := os.Remove(path + DraftSuffix + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeFile makes a new file and waits until it has reached the disk.
func writeFile(path string, data []byte) error {
	f, err := openFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = handOver(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// finish makes a copy that SQLite wrote a database with a write-ahead log, and
// waits until it has reached the disk.
func finish(path string) error {
	f, err := openFile(path, os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{writeAheadLog, writeAheadLog}, journalVersions)
	if err == nil {
		err = handOver(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// The two bytes of a database's header that say which journal it has, see
// https://www.sqlite.org/fileformat2.html.
const (
	journalVersions = 18
	writeAheadLog   = 2
)

// blank returns the bytes of an empty ledger. It makes them in memory, so that it
// leaves nothing behind.
func blank(ctx context.Context, schema Schema) (image []byte, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", schema.ApplicationID)); err != nil {
		return nil, err
	}
	if err := schema.Migrate(ctx, db); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)`, idKey, uuid.NewString()); err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) (err error) {
		image, err = driver.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	if err != nil {
		return nil, err
	}
	image[journalVersions], image[journalVersions+1] = writeAheadLog, writeAheadLog
	return image, nil
}

// halfMade reports whether an earlier edition did not finish the ledger: it
// renamed a draft before it had folded the draft's journal into it, and left
// that journal behind. Such a ledger is empty, since a draft never counts. The
// proof: the journal holds every page of the ledger as well.
func halfMade(path string) bool {
	if info, err := os.Lstat(path + "-wal"); err == nil && info.Size() > 0 {
		return false
	}
	journal, err := readSmall(path + DraftSuffix + "-wal")
	if err != nil {
		return false
	}
	book, err := readSmall(path)
	if err != nil {
		return false
	}
	const header, frameHeader, pageSizeAt = 32, 24, 8
	if len(journal) < header {
		return false
	}
	size := int(binary.BigEndian.Uint32(journal[pageSizeAt:]))
	if size < 512 || size > 65536 || len(book)%size != 0 {
		return false
	}
	drafted := map[string]bool{string(make([]byte, size)): true}
	for rest := journal[header:]; len(rest) >= frameHeader+size; rest = rest[frameHeader+size:] {
		drafted[string(rest[frameHeader:frameHeader+size])] = true
	}
	for page := range slices.Chunk(book, size) {
		if !drafted[string(page)] {
			return false
		}
	}
	return true
}

// readSmall reads a file of a size that an empty ledger may have.
func readSmall(path string) ([]byte, error) {
	const most = 1 << 20
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > most:
		return nil, errors.New("it is not a small file")
	}
	return os.ReadFile(path)
}
