package journal

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/meter"
)

// Query chooses entries of the journal: the arguments of journalctl that are
// matches.
type Query []string

// suppressed chooses what journald says of messages that it dropped.
var suppressed = []string{"+", "_TRANSPORT=driver", "MESSAGE_ID=" + suppressedID}

const suppressedID = "a596d6fe7bfa4994828e72309e95d61e"

// NewQuery returns the query for what the units themselves print, of these
// identifiers, with these fields. An entry must have one of the units, one of the
// identifiers, and of each field that is named one of its values. The query also
// chooses what journald says of messages that it dropped. machine is the id of the
// machine whose entries are chosen; "" chooses entries of any machine.
func NewQuery(machine string, units, identifiers, matches []string) (q Query) {
	for _, unit := range units {
		q = append(q, "_SYSTEMD_UNIT="+unit)
	}
	for _, identifier := range identifiers {
		q = append(q, "SYSLOG_IDENTIFIER="+identifier)
	}
	if machine == "" {
		return slices.Concat(q, matches, suppressed)
	}
	ours := []string{"_MACHINE_ID=" + machine}
	return slices.Concat(q, matches, ours, suppressed, ours)
}

// MachineID returns the id that journald has for this machine; "" if the machine
// does not tell it.
func MachineID() string {
	text, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// String returns the query as a generation keeps it.
func (q Query) String() string { return strings.Join(q, "\n") }

func queryOf(g meter.Generation) Query { return strings.Split(g.Query, "\n") }

// units returns the units that the query names.
func (q Query) units() (units []string) {
	for _, match := range q {
		if unit, ok := strings.CutPrefix(match, "_SYSTEMD_UNIT="); ok {
			units = append(units, unit)
		}
	}
	return units
}

// fields returns the fields that the query asks for.
func (q Query) fields() (names []string) {
	for _, match := range q {
		if field, _, ok := strings.Cut(match, "="); ok && !slices.Contains(names, field) {
			names = append(names, field)
		}
	}
	return names
}

// matches reports whether the query chooses an entry with these fields, as
// journalctl does: "+" separates alternatives. In each of them, an entry must
// have one of the values of each field.
func (q Query) matches(entry map[string]any) bool {
	rest := q
	for more := len(q) > 0; more; {
		var alternative Query
		alternative, rest, more = cutAlternative(rest)
		if alternative.matchesAll(entry) {
			return true
		}
	}
	return len(q) == 0
}

func cutAlternative(q Query) (first, rest Query, more bool) {
	if i := slices.Index(q, "+"); i >= 0 {
		return q[:i], q[i+1:], true
	}
	return q, nil, false
}

func (q Query) matchesAll(entry map[string]any) bool {
	found := map[string]bool{} // by field
	for _, match := range q {
		field, value, _ := strings.Cut(match, "=")
		found[field] = found[field] || hasValue(entry[field], value)
	}
	for _, ok := range found {
		if !ok {
			return false
		}
	}
	return true
}

// hasValue reports whether a field is a text, or has it among several.
func hasValue(field any, text string) bool {
	if list, isList := field.([]any); isList {
		return slices.Contains(list, any(text))
	}
	return field == text
}

// position holds the parts of a cursor. journald has always written cursors in this
// form. A cursor of another form is not understood.
type position struct {
	id         string // of the sequence that number is of
	number     uint64
	boot       string
	monotonic  uint64 // microseconds since the boot
	realtime   uint64 // microseconds since 1970
	understood bool
}

func parseCursor(cursor string) (p position) {
	found := 0
	for part := range strings.SplitSeq(cursor, ";") {
		key, value, _ := strings.Cut(part, "=")
		number, isNumber := parseHex(value)
		switch {
		case key == "s":
			p.id = value
		case key == "b":
			p.boot = value
		case !isNumber:
			continue
		case key == "i":
			p.number = number
		case key == "m":
			p.monotonic = number
		case key == "t":
			p.realtime = number
		default:
			continue
		}
		found++
	}
	p.understood = found == 5
	return p
}

// beforeFirst returns a cursor of the place before an entry: no entry is at it, and all
// others are behind it. It returns "" for a cursor that is not understood.
func beforeFirst(cursor string) string {
	p := parseCursor(cursor)
	if !p.understood || p.number == 0 {
		return ""
	}
	return fmt.Sprintf("s=%s;i=%x;b=%032d;m=0;t=0;x=0", p.id, p.number-1, 0)
}

func parseHex(text string) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 16 {
		return 0, false
	}
	for _, c := range []byte(text) {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// positions remembers the cursors that were parsed last, because a reader asks for the
// position of each several times.
type positions struct {
	last [4]struct {
		cursor string
		at     position
	}
	next int
}

// of returns the position of a cursor.
func (p *positions) of(cursor string) position {
	for i := range p.last {
		if p.last[i].cursor == cursor {
			return p.last[i].at
		}
	}
	known := &p.last[p.next]
	p.next = (p.next + 1) % len(p.last)
	known.cursor, known.at = cursor, parseCursor(cursor)
	return known.at
}

// upTo reports whether an entry is the other or one before it. boot is the boot
// that goes on now: whatever it logs comes after all of other boots, even if the
// clock was set back.
func (p position) upTo(other position, boot string) bool {
	switch {
	case p.id == other.id:
		return p.number <= other.number
	case p.boot == other.boot:
		return p.monotonic <= other.monotonic
	case p.boot == boot:
		return false
	case other.boot == boot:
		return true
	}
	return p.realtime <= other.realtime
}
