package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with a request now and then. If several faults
// are due, the first one that replaces the answer wins. Faults that only change the
// answer's form add up.
type Fault struct {
	Kind FaultKind

	Status     int           // with FaultStatus, FaultStatusAfter, FaultToken: of HTTP; over gRPC the code that corresponds
	Code       string        // with FaultResetBefore, FaultResetAfter: an error code of HTTP/2
	Date       string        // with FaultDate: an offset from the API's clock, epoch, nonsense or none
	RetryAfter time.Duration // with a status: what the answer asks to wait for

	// When. Without any of these, every request.
	SKU         string        // requests that hold a record of this SKU
	On          string        // OnWrite, OnValidate; "": both
	Every       int           // every nth request
	Probability float64       // this share of them, by chance
	Times       int           // how often at most
	After, For  time.Duration // only from so long after the start, and for so long
}

// The requests that a fault happens to.
const (
	OnWrite    = "write"    // requests that store records
	OnValidate = "validate" // requests with validate_only
)

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

	// Over HTTP/1.1 these close the connection.
	FaultResetBefore  FaultKind = "reset-before"  // the stream is reset with an error code, nothing is stored
	FaultResetAfter   FaultKind = "reset-after"   // all is stored, then the stream is reset
	FaultGoAwayBefore FaultKind = "goaway-before" // GOAWAY that leaves the request out, nothing is stored
	FaultGoAwayAfter  FaultKind = "goaway-after"  // all is stored, then GOAWAY that leaves the request out

	FaultError200   FaultKind = "error-200"   // nothing is stored, and a 200 whose body is an error's
	FaultNoVerdicts FaultKind = "no-verdicts" // all is stored, and an answer that mentions no record

	FaultGarbage  FaultKind = "garbage"  // all is stored, then a body that cannot be read
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
	FaultDate          FaultKind = "date"           // the Date is wrong or missing, whatever else happens

	FaultToken FaultKind = "token" // a status from the metadata service and the key exchange
)

var faultKinds = []FaultKind{
	FaultDropBefore, FaultDropAfter, FaultHangBefore, FaultHangAfter, FaultStatus, FaultStatusAfter, FaultPoison,
	FaultResetBefore, FaultResetAfter, FaultGoAwayBefore, FaultGoAwayAfter, FaultError200, FaultNoVerdicts,
	FaultGarbage, FaultTruncate, FaultCut, FaultHTML, FaultEmpty, FaultHuge,
	FaultPartial, FaultOmit, FaultBoth, FaultTwice, FaultStranger, FaultUnknownReason,
	FaultNumbers, FaultSnake, FaultUpper, FaultNoArrays, FaultExtra, FaultDate, FaultToken,
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
//	status=502,sku=dn272e8979uvek5cnuhk,on=write
//	date=-2h,times=1
func ParseFault(text string) (Fault, error) {
	var f Fault
	for i, part := range strings.Split(text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch {
		case i == 0:
			err = f.setKind(FaultKind(name), value, given)
		case name == "sku" && value != "":
			f.SKU = value
		case name == "on" && (value == OnWrite || value == OnValidate):
			f.On = value
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
			err = fmt.Errorf("unknown; there are sku=SKU, on=write, on=validate, every, p, times, after, for and retry-after")
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
	case kind == FaultResetBefore || kind == FaultResetAfter:
		f.Code, err = value, checkReset(value)
	case kind == FaultDate:
		f.Date, err = value, checkDate(value)
	case given:
		return fmt.Errorf("it takes no value")
	}
	return err
}

// dates are the wrong dates that have a name.
var dates = map[string]string{"epoch": "Thu, 01 Jan 1970 00:00:00 GMT", "nonsense": "the day before yesterday", "none": ""}

func checkDate(value string) error {
	if _, ok := dates[value]; ok {
		return nil
	}
	if _, err := time.ParseDuration(value); err != nil {
		return fmt.Errorf("it needs an offset as in date=-2h, or epoch, nonsense or none")
	}
	return nil
}

// spoil makes the Date of an answer what the fault says.
func (f *Fault) spoil(h http.Header, now time.Time) {
	if off, err := time.ParseDuration(f.Date); err == nil {
		h.Set("Date", now.Add(off).UTC().Format(http.TimeFormat))
	} else if text := dates[f.Date]; text != "" {
		h.Set("Date", text)
	} else {
		h["Date"] = nil // which keeps package http from setting it
	}
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

// faultState is a fault with how often it has happened.
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

// due reports whether a fault happens to the request that asks. s.mu is held.
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
	replace *Fault             // what replaces the answer, or nil
	date    *Fault             // what its Date becomes; nil: as it is
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
		if f.Kind == FaultToken || !f.concerns(r) || f.Kind.replacesAnswer() && p.replace != nil || !s.due(f) {
			continue
		}
		fault := f.Fault
		switch {
		case f.Kind.replacesAnswer():
			p.replace = &fault
		case f.Kind == FaultDate:
			p.date = &fault
		default:
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

// concerns reports whether the fault happens to such requests.
func (f *Fault) concerns(r writeRequest) bool {
	return (f.SKU == "" || r.holds(f.SKU)) && (f.On == "" || (f.On == OnValidate) == r.validateOnly)
}

func (r writeRequest) holds(sku string) bool {
	return slices.ContainsFunc(r.records, func(r usageRecord) bool { return r.sku == sku })
}

// before reports whether the fault comes before anything is stored.
func (f *Fault) before() bool {
	switch f.Kind {
	case FaultDropBefore, FaultHangBefore, FaultStatus, FaultPoison, FaultResetBefore, FaultGoAwayBefore, FaultError200:
		return true
	}
	return false
}
