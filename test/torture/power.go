package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the ledger
)

// losePower makes of a dead agent and a paused writer what a power failure
// leaves: the ledger is as it was committed, and the end of the log never
// reached the disk. Then it starts the agent.
//
// What is right then: lines that are gone and were counted stay counted; lines
// that are gone and had not been read were never written; the agent goes on at
// the log's end, and what is written once it has taken up the log counts. A log
// that the ledger does not know by the name it has now is left as it is.
func (a *agent) losePower(ctx context.Context, w *writer, chance *rand.Rand) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	end, err := a.cutLog(w, chance)
	if err := errors.Join(err, a.Start()); err != nil || end == 0 {
		return err
	}
	a.powerLosses++
	deadline := time.Now().Add(*patience)
	for ctx.Err() == nil {
		switch offset, _, err := a.position(w); {
		case err != nil:
			return err
		case offset == end:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s ended at %d after a power failure, and the agent is at %d", w.name, end, offset)
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return nil
}

// cutLog shortens the log to the end of a line at or before the position that
// the ledger has. It returns 0 where that cannot be done.
func (a *agent) cutLog(w *writer, chance *rand.Rand) (end int64, err error) {
	position, mark, err := a.position(w)
	if err != nil || position == 0 {
		return 0, err
	}
	data, err := os.ReadFile(w.path)
	if err != nil || int64(len(data)) < position || !bytes.HasSuffix(data[:position], mark) {
		return 0, err
	}
	end = int64(bytes.LastIndexByte(data[:1+chance.Int64N(position)], '\n') + 1)
	if end == 0 {
		return 0, nil
	}
	w.forget(data[position:])
	return end, os.Truncate(w.path, end)
}

// position returns the ledger's offset in the writer's log and the bytes before
// it. It returns 0 if the ledger does not know the log's present file.
func (a *agent) position(w *writer) (offset int64, mark []byte, err error) {
	info, err := os.Stat(w.path)
	if err != nil {
		return 0, nil, err
	}
	db, err := sql.Open("sqlite", a.ledger+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return 0, nil, err
	}
	defer db.Close()
	err = db.QueryRow(`SELECT offset, mark FROM generations WHERE path = ? AND ino = ? AND state = 'live' ORDER BY id DESC`,
		w.path, info.Sys().(*syscall.Stat_t).Ino).Scan(&offset, &mark)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	return offset, mark, err
}
