package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/rules"
)

// The agent gives back memory this long after the start, and then regularly: a
// reload or a backlog takes some, too.
const (
	trimAfter = 2 * time.Second
	trimEvery = 10 * time.Minute
)

// keyedGarbage is how much garbage the heap may hold, in percent of what is in use,
// while rules remember keys. What they hold in memory is large and cheap to scan.
const keyedGarbage = 50

// spareMemory has the process collect garbage earlier if a rule remembers keys.
func spareMemory(config *config.Config) {
	if slices.ContainsFunc(config.Rules, func(r *rules.Rule) bool { return r.Once != nil }) {
		debug.SetGCPercent(keyedGarbage)
	}
}

// trimNowAndThen trims until ctx ends.
func trimNowAndThen(ctx context.Context) {
	for pause := trimAfter; ; pause = trimEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			trim()
		}
	}
}

// trim gives back memory that only the start needed: pages of the heap, and pages
// of the program itself. To compile the rules and to open the ledger touches
// nearly all of the program. Pages that are needed again come from the page cache.
// It gives back only pages that are mapped read-only from the file.
func trim() {
	debug.FreeOSMemory()
	program, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		start, end, ok := readOnly(lines.Text(), program)
		if ok {
			syscall.Syscall(syscall.SYS_MADVISE, start, end-start, syscall.MADV_DONTNEED)
		}
	}
}

func readOnly(line, program string) (start, end uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 6 || fields[5] != program || fields[1] != "r-xp" && fields[1] != "r--p" {
		return 0, 0, false
	}
	_, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end)
	return start, end, err == nil
}
