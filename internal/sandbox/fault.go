package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with a request now and then. Of several
// faults that are due, the first that replaces the answer wins; those that only
// change its form add up.
type Fault struct {
	Kind FaultKind

	Status     int           // with FaultStatus, FaultStatusAfter, FaultToken: of HTTP; over gRPC the code that corresponds
	SKU        string        // with FaultPoison
	RetryAfter time.Duration // with a status: what the answer asks to wait for

	// When. Without any of these, every request.
	Every       int           // every nth request
	Probability float64       // this share of them, by chance
	Times       int           // at most so many
	After, For  time.Duration // only from so long after the start, and for so long
}

// FaultKind names a fault, as it is written on the command line.
type FaultKind string

const (
	FaultDropBefore  FaultKind = "drop-before"  // the connection is closed, nothing is stored
	FaultDropAfter   FaultKind = "drop-after"   // all is stored, then the connection is closed
	FaultHangBefore  FaultKind = "hang-before"  // no answer until the client gives up, nothing is stored
	FaultHangAfter   FaultKind = "hang-after"   // all is stored, then no answer until the client gives up
	FaultStatus      FaultKind = "status"       // a status instead of storing
	FaultStatusAfter FaultKind = "status-after" // all is stored, then a status
	FaultPoison      FaultKind = "poison"       // 400 for every request that holds a record of this SKU

	FaultGarbage  FaultKind = "garbage"  // all is stored, then a body that is no message
	FaultTruncate FaultKind = "truncate" // all is stored, then half of the body and the end of the connection
	FaultCut      FaultKind = "cut"      // all is stored, then half of the body as if it were all
	FaultHTML     FaultKind = "html"     // all is stored, then a page of HTML
	FaultEmpty    FaultKind = "empty"    // all is stored, then an empty body
	FaultHuge     FaultKind = "huge"     // all is stored, then more than a megabyte

	FaultPartial       FaultKind = "partial"        // one record, by chance, is rejected and not stored
	FaultOmit          FaultKind = "omit"           // one record, by chance, is left out of the answer
	FaultBoth          FaultKind = "both"           // one accepted record is listed as rejected, too
	FaultTwice         FaultKind = "twice"          // every entry comes twice
	FaultStranger      FaultKind = "stranger"       // the answer holds a uuid that was not asked about
	FaultUnknownReason FaultKind = "unknown-reason" // rejections come with a reason that no document knows
	FaultNumbers       FaultKind = "numbers"        // REST: reasons come as numbers
	FaultSnake         FaultKind = "snake"          // REST: names come in snake_case
	FaultUpper         FaultKind = "upper"          // uuids come in upper case
	FaultNoArrays      FaultKind = "no-arrays"      // REST: empty arrays are left out
	FaultExtra         FaultKind = "extra"          // REST: there are fields that no document knows

	FaultToken FaultKind = "token" // a status from the metadata service and the key exchange
)

var faultKinds = []FaultKind{
	FaultDropBefore, FaultDropAfter, FaultHangBefore, FaultHangAfter, FaultStatus, FaultStatusAfter, FaultPoison,
	FaultGarbage, FaultTruncate, FaultCut, FaultHTML, FaultEmpty, FaultHuge,
	FaultPartial, FaultOmit, FaultBoth, FaultTwice, FaultStranger, FaultUnknownReason,
	FaultNumbers, FaultSnake, FaultUpper, FaultNoArrays, FaultExtra, FaultToken,
}

// FaultKinds lists every kind.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds) }

// replacesAnswer reports whether a fault leaves no answer of its own to the
// request; the others change its content or form.
func (k FaultKind) replacesAnswer() bool {
	i := slices.Index(faultKinds, k)
	return i < slices.Index(faultKinds, FaultPartial)
}

// ParseFault reads a fault as the command line has it: its kind, for some with
// a value, then conditions, each behind a comma.
//
//	drop-after,every=3
//	status=503,p=0.2,after=1m,for=50m,retry-after=30s
//	poison=dn272e8979uvek5cnuhk
func ParseFault(text string) (Fault, error) {
	var f Fault
	for i, part := range strings.Split(text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch {
		case i == 0:
			err = f.setKind(FaultKind(name), value, given)
		case name == "every":
			f.Every, err = positive(value)
		case name == "times":
			f.Times, err = positive(value)
		case name == "p":
			f.Probability, err = strconv.ParseFloat(value, 64)
			if err == nil && !(f.Probability > 0 && f.Probability <= 1) {
				err = fmt.Errorf("it must be above 0 and at most 1")
			}
		case name == "after":
			f.After, err = time.ParseDuration(value)
		case name == "for":
			f.For, err = time.ParseDuration(value)
		case name == "retry-after":
			f.RetryAfter, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown; there are every, p, times, after, for and retry-after")
		}
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: %s: %w", text, name, err)
		}
	}
	return f, nil
}

func (f *Fault) setKind(kind FaultKind, value string, given bool) (err error) {
	f.Kind = kind
	switch {
	case !slices.Contains(faultKinds, kind):
		return fmt.Errorf("unknown; there are %s", joinKinds())
	case kind == FaultPoison:
		if f.SKU = value; value == "" {
			return fmt.Errorf("it needs an SKU: %s=SKU", kind)
		}
	case kind == FaultStatus || kind == FaultStatusAfter || kind == FaultToken:
		f.Status, err = strconv.Atoi(value)
		if err != nil || f.Status < 300 || f.Status > 599 {
			return fmt.Errorf("it needs a status from 300 to 599: %s=503", kind)
		}
	case given:
		return fmt.Errorf("it takes no value")
	}
	return nil
}

func joinKinds() string {
	names := make([]string, len(faultKinds))
	for i, k := range faultKinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func positive(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err == nil && n < 1 {
		err = fmt.Errorf("it must be at least 1")
	}
	return n, err
}

// faultState is a fault with what has come of it so far.
type faultState struct {
	Fault
	asked, done int
}

// SetFaults replaces the faults that happen from now on.
func (s *Sandbox) SetFaults(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	for _, f := range faults {
		s.faults = append(s.faults, faultState{Fault: f})
	}
}

// due says whether a fault happens to the request that asks. s.mu is held.
func (s *Sandbox) due(f *faultState) bool {
	age := s.cfg.Now().Sub(s.started)
	if age < f.After || f.For > 0 && age >= f.After+f.For || f.Times > 0 && f.done >= f.Times {
		return false
	}
	f.asked++
	if f.Every > 0 && f.asked%f.Every != 0 {
		return false
	}
	if f.Probability > 0 && s.chance.Float64() >= f.Probability {
		return false
	}
	f.done++
	s.stats.Faults++
	return true
}

// plan is the faults that happen to one request.
type plan struct {
	replace *Fault             // what stands in place of the answer; nil: nothing
	form    map[FaultKind]bool // what changes its content and form
	which   func(n int) int    // draws one of n records
}

// planWrite draws the faults of one request to the write method.
func (s *Sandbox) planWrite(r writeRequest) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := plan{form: map[FaultKind]bool{}, which: func(n int) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.chance.IntN(n)
	}}
	for i := range s.faults {
		f := &s.faults[i]
		if f.Kind == FaultToken || f.Kind == FaultPoison && !r.holds(f.SKU) || f.Kind.replacesAnswer() && p.replace != nil {
			continue
		}
		if !s.due(f) {
			continue
		}
		if f.Kind.replacesAnswer() {
			fault := f.Fault
			p.replace = &fault
		} else {
			p.form[f.Kind] = true
		}
	}
	return p
}

// planToken draws the fault of one request for a token; nil: none.
func (s *Sandbox) planToken() *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		if f := &s.faults[i]; f.Kind == FaultToken && s.due(f) {
			fault := f.Fault
			return &fault
		}
	}
	return nil
}

func (r writeRequest) holds(sku string) bool {
	return slices.ContainsFunc(r.records, func(r usageRecord) bool { return r.sku == sku })
}

// before reports whether the fault comes before anything is stored.
func (f *Fault) before() bool {
	switch f.Kind {
	case FaultDropBefore, FaultHangBefore, FaultStatus, FaultPoison:
		return true
	}
	return false
}
