package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Memory is given back so long after the start, and then again and again: a
// reload or a backlog takes some, too.
const (
	trimAfter = 2 * time.Second
	trimEvery = 10 * time.Minute
)

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

// trim gives back memory that the start needed and the rest does not: of the
// heap, and of the program itself, of which compiling the rules and opening the
// ledger have touched nearly all. Pages that are needed again come from the page
// cache. Only what is mapped read-only from the file is given back: it is what
// the file holds.
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
