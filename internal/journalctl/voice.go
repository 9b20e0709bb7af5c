package journalctl

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	mostKept    = 2000 // bytes of errors and warnings
	longestSaid = 64 << 10
)

// voice reads what journalctl says on standard error: a goroutine of its own reads
// it. So does everybody who calls sync.
type voice struct {
	complain func(line string) // nil: nobody asks
	conn     syscall.RawConn
	ended    chan struct{} // closed when the goroutine has ended

	mu   sync.Mutex
	part []byte          // of a line whose end was not read
	kept strings.Builder // errors and warnings, for people
}

// listen reads until journalctl ends.
func (v *voice) listen() {
	defer close(v.ended)
	v.conn.Read(v.drain)
}

// sync reads what journalctl has said, without waiting for more.
func (v *voice) sync() {
	v.conn.Control(func(fd uintptr) { v.drain(fd) })
}

// drain reads all that there is. It reports whether there will be no more.
func (v *voice) drain(fd uintptr) (ended bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var block [4096]byte
	for {
		n, err := syscall.Read(int(fd), block[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil || n == 0:
			return true
		}
		v.take(block[:n])
	}
}

func (v *voice) take(text []byte) {
	v.part = append(v.part, text...)
	for {
		line, rest, whole := bytes.Cut(v.part, []byte("\n"))
		if !whole {
			break
		}
		v.line(string(line))
		v.part = rest
	}
	if len(v.part) > longestSaid {
		v.part = nil
	}
}

// notice is the first priority that does not help people who look for an error.
const notice = 5

// line takes a line with its priority: <31> is 24 for the facility, and 7 for what
// only debugging needs.
func (v *voice) line(line string) {
	if number, text, ok := strings.Cut(strings.TrimPrefix(line, "<"), ">"); ok && strings.HasPrefix(line, "<") {
		priority, err := strconv.Atoi(number)
		if line = text; err == nil && priority%8 < notice {
			v.keep(line)
		}
	} else {
		v.keep(line)
	}
	if v.complain != nil {
		v.complain(line)
	}
}

func (v *voice) keep(line string) {
	if room := mostKept - v.kept.Len(); room > 0 {
		v.kept.WriteString(line[:min(room, len(line))] + "\n")
	}
}

// text returns the errors and warnings up to now.
func (v *voice) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return strings.TrimSpace(v.kept.String())
}
