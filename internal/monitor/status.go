package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/glob"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
	"github.com/meterlog/meterlog/internal/tailer"
)

// Subject is the meterlog that is looked at.
type Subject struct {
	Version   string
	Dir       string         // the state folder
	Config    *config.Config // nil if ConfigErr is set
	ConfigErr error
	Salvaged  []*rules.Source // where Config is nil: the sources of the file that can be read
	Health    *Health         // of the agent in this process; nil where it is looked at from another

	withoutFiles bool // the status looks at no files
}

// Status is what `meterlog status` and /status show. The JSON names are
// published: they stay.
type Status struct {
	Version         string              `json:"version"`
	StateDir        string              `json:"state_dir"`
	Running         bool                `json:"running"`
	PID             int                 `json:"pid"` // 0 if it does not run or is unknown
	ProductID       string              `json:"product_id"`
	Sources         []SourceStatus      `json:"sources"`
	Records         map[meter.State]int `json:"records"`            // in the ledger, by state; refused ones that were queued again are left out
	OldestUnsettled int64               `json:"oldest_unsettled_s"` // age of the oldest record that is open or sealed, in seconds, or 0
	TimeLeft        int64               `json:"time_left_s"`        // seconds until the API takes that record no longer; 3600 without such a record
	SKUs            []SKUStatus         `json:"skus"`
	Problems        []ProblemStatus     `json:"problems"`
	Notes           []ProblemStatus     `json:"notes"` // what is good to know; nobody has to act
	Repeated        []RepeatedStatus    `json:"repeated"`
	Peaks           []PeakStatus        `json:"peaks"` // of stretches that are open
	Rules           []RuleStatus        `json:"rules"`

	LastMinutes []int64   `json:"-"` // quantities of all SKUs in each of the last 60 minutes, oldest first
	At          time.Time `json:"-"` // when it was read
}

// RepeatedStatus is how many lines of a rule counted nothing, since the ledger was
// made, because their key had counted.
type RepeatedStatus struct {
	Rule  string `json:"rule"`
	Count int64  `json:"count"`
}

// RuleStatus is when a rule last counted a line, and how much its sources have
// brought since, as of the agent's last commit.
type RuleStatus struct {
	Name       string `json:"name"`
	LastMatch  string `json:"last_match"` // RFC 3339 UTC, or "" if it never did
	BytesSince int64  `json:"bytes_since"`
}

// SourceStatus is a source and the files that it follows.
type SourceStatus struct {
	Name  string       `json:"name"`
	Files []FileStatus `json:"files"`
}

// FileStatus is a file and how far it was read. Lag counts decompressed bytes.
type FileStatus struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
	Lag    int64  `json:"lag_bytes"` // of a journal: entries, at most 1,000
	State  string `json:"state"`

	last time.Time // of a journal: when the last entry that was read was written; zero before any
}

// Last returns when the last entry of a journal was written that was read; zero
// before any.
func (f FileStatus) Last() time.Time { return f.last }

// SKUStatus is what was counted of a SKU, by the windows' times: usage that was
// refused, expired or of another machine is not in it.
type SKUStatus struct {
	SKU      string `json:"sku_id"`
	LastHour int64  `json:"last_hour"`
	Today    int64  `json:"today"` // since midnight, UTC
	Total    int64  `json:"total"` // since the ledger was made

	// What the total and the rest consist of, since the ledger was made.
	Accepted    int64 `json:"accepted"`     // the API has it
	Waiting     int64 `json:"waiting"`      // open or sealed
	InDoubt     int64 `json:"in_doubt"`     // the API may have it
	NotBillable int64 `json:"not_billable"` // refused and not queued again, expired, or of another machine

	ProductID string `json:"product_id"`
}

// ProblemStatus is something that is wrong, and what to do about it.
type ProblemStatus struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`

	latest time.Time // when it last happened, where it is not going on
}

// Status reads the status. It fails only if the caller may not read the ledger, or
// if ctx ends.
func (s Subject) Status(ctx context.Context, now time.Time) (Status, error) {
	reader, err := ledger.OpenReader(s.Dir)
	if err == nil {
		defer reader.Close()
	}
	return s.statusOf(ctx, reader, err, now)
}

// statusOf returns the status by the reader's ledger. If the ledger could not be
// opened, reader is nil and unreadable says why.
func (s Subject) statusOf(ctx context.Context, reader *ledger.Reader, unreadable error, now time.Time) (Status, error) {
	st := Status{
		Version: s.Version, StateDir: s.Dir, At: now, TimeLeft: int64(meter.UsableFor / time.Second),
		Sources: []SourceStatus{}, SKUs: []SKUStatus{}, Problems: []ProblemStatus{}, Notes: []ProblemStatus{}, Repeated: []RepeatedStatus{}, Peaks: []PeakStatus{}, Rules: []RuleStatus{},
		Records: make(map[meter.State]int), LastMinutes: make([]int64, 60),
	}
	for _, state := range meter.States {
		st.Records[state] = 0
	}
	st.PID, st.Running = ledger.Owner(s.Dir)
	if s.Config != nil {
		st.ProductID = s.Config.ProductID
	}
	if s.ConfigErr != nil {
		first, _, _ := strings.Cut(s.ConfigErr.Error(), "\n")
		st.problem("config_invalid", first, "run `meterlog check`; an agent that runs goes on with the rules it has")
	}
	if !st.Running {
		st.problem("not_running", "the agent does not run: nothing is counted or delivered", "`systemctl start meterlog`, and see `journalctl -u meterlog`")
	}
	if unreadable != nil && s.Health != nil { // the agent knows what is wrong, whatever the folder holds
		s.present(&st, s.Health.Problems())
	}
	switch {
	case errors.Is(unreadable, ledger.ErrNone):
		s.files(&st, nil, nil, now)
		return st, nil
	case errors.Is(unreadable, fs.ErrPermission):
		return st, unreadable
	case unreadable != nil:
		st.ledgerUnreadable(unreadable)
		s.files(&st, nil, nil, now)
		return st, nil
	}
	var unread []error // a damaged ledger may be readable in parts
	for _, read := range []func(context.Context, *Status, *ledger.Reader) error{s.counted, s.unsettled, s.followed, s.rules, s.peaks, s.wrong} {
		if err := read(ctx, &st, reader); err != nil {
			unread = append(unread, err)
		}
	}
	if ctx.Err() != nil {
		return st, errors.Join(unread...)
	}
	if len(unread) > 0 {
		st.ledgerUnreadable(unread[0])
		if len(st.Sources) == 0 {
			s.files(&st, nil, nil, now)
		}
	}
	return st, nil
}

// rules reads when each rule of the configuration last counted a line.
func (s Subject) rules(ctx context.Context, st *Status, r *ledger.Reader) error {
	if s.Config == nil {
		return nil
	}
	activity, err := r.Activity(ctx)
	if err != nil {
		return err
	}
	of := make(map[string]meter.Activity, len(activity))
	for _, a := range activity {
		of[a.Rule] = a
	}
	for _, rule := range s.Config.Rules {
		a := of[rule.Name]
		shown := RuleStatus{Name: rule.Name, BytesSince: a.Silence.Bytes}
		if !a.LastMatch.IsZero() {
			shown.LastMatch = a.LastMatch.UTC().Format(time.RFC3339)
		}
		st.Rules = append(st.Rules, shown)
	}
	return nil
}

func (st *Status) ledgerUnreadable(err error) {
	st.problem("ledger_unreadable", err.Error(), "see \"Damage\" in docs/operations.md; nothing is counted until it can be read")
}

// Line returns the state in a few words, without looking at the files.
func (s Subject) Line(ctx context.Context, now time.Time) string {
	st := Status{At: now, Records: make(map[meter.State]int), LastMinutes: make([]int64, 60)}
	line := s.usage(ctx, &st)
	if wrong := slices.DeleteFunc(s.Health.Problems(), meter.Problem.Note); len(wrong) > 0 {
		line = fmt.Sprintf("%s: %s; %s", wrong[0].Code, wrong[0].Message, line)
	}
	return line
}

// usage says in a few words what was counted and what waits.
func (s Subject) usage(ctx context.Context, st *Status) string {
	reader, err := ledger.OpenReader(s.Dir)
	if err != nil {
		return err.Error()
	}
	defer reader.Close()
	if err := errors.Join(s.counted(ctx, st, reader), s.unsettled(ctx, st, reader)); err != nil {
		return err.Error()
	}
	units := int64(0)
	for _, n := range st.LastMinutes {
		units = add(units, n)
	}
	return fmt.Sprintf("%d units in the last hour, %d records waiting", units, st.Records[meter.Sealed])
}

// present adds what the agent finds wrong.
func (s Subject) present(st *Status, problems []meter.Problem) {
	for _, p := range problems {
		st.problem(p.Code, p.Message+sinceText(p.Since, st.At), p.Hint)
	}
}

func (st *Status) problem(code, message, hint string) {
	st.add(ProblemStatus{Code: code, Message: message, Hint: hint})
}

func (st *Status) add(p ProblemStatus) {
	if meter.IsNote(p.Code) {
		st.Notes = append(st.Notes, p)
		return
	}
	st.Problems = append(st.Problems, p)
}

// billable reports whether usage in this state is, or is to be, billed.
func billable(state meter.State) bool {
	switch state {
	case meter.Refused, meter.Expired, meter.Foreign:
		return false
	}
	return true
}

// counted reads the records' numbers and the SKUs' sums.
func (s Subject) counted(ctx context.Context, st *Status, r *ledger.Reader) error {
	totals, err := r.Totals(ctx)
	if err != nil {
		return err
	}
	skus := make(map[[2]string]*SKUStatus)
	sku := func(product, id string) *SKUStatus {
		key := [2]string{product, id}
		if skus[key] == nil {
			skus[key] = &SKUStatus{ProductID: product, SKU: id}
		}
		return skus[key]
	}
	if s.Config != nil {
		for _, rule := range s.Config.Rules {
			if rule.Table == nil { // SKUs of a table appear with their first usage: there may be thousands
				sku(rule.ProductID, rule.SKU)
			}
		}
	}
	for _, t := range totals {
		if st.ProductID == "" {
			st.ProductID = t.ProductID
		}
		st.Records[t.State] += t.Records
		of, units := sku(t.ProductID, t.SKU), add(t.Units, t.Pruned)
		if billable(t.State) {
			of.Total = add(of.Total, units)
		}
		switch t.State {
		case meter.Accepted:
			of.Accepted = add(of.Accepted, units)
		case meter.Open, meter.Sealed:
			of.Waiting = add(of.Waiting, units)
		case meter.InDoubt:
			of.InDoubt = add(of.InDoubt, units)
		}
	}
	unbilled, err := r.Unbilled(ctx)
	if err != nil {
		return err
	}
	for _, u := range unbilled {
		if !billable(u.State) {
			of := sku(u.ProductID, u.SKU)
			of.NotBillable = add(of.NotBillable, u.Units)
		}
	}
	midnight := st.At.UTC().Truncate(24 * time.Hour)
	hourAgo := st.At.Add(-time.Hour)
	since := midnight
	if hourAgo.Before(since) {
		since = hourAgo
	}
	usage, err := r.Usage(ctx, since)
	if err != nil {
		return err
	}
	for _, u := range usage {
		of := sku(u.ProductID, u.SKU)
		if !u.Window.Before(midnight) {
			of.Today = add(of.Today, u.Units)
		}
		if u.Window.After(hourAgo) {
			of.LastHour = add(of.LastHour, u.Units)
			if minute := 59 - int(st.At.Sub(u.Window)/time.Minute); minute >= 0 && minute < 60 {
				st.LastMinutes[minute] = add(st.LastMinutes[minute], u.Units)
			}
		}
	}
	for _, of := range skus {
		st.SKUs = append(st.SKUs, *of)
	}
	sortSKUs(st.SKUs)
	return nil
}

func sortSKUs(list []SKUStatus) {
	slices.SortFunc(list, func(a, b SKUStatus) int {
		return cmp.Or(cmp.Compare(a.ProductID, b.ProductID), cmp.Compare(a.SKU, b.SKU))
	})
}

// SeveralProducts reports whether the SKUs belong to more than one product.
func (st Status) SeveralProducts() bool {
	return len(st.SKUs) > 0 && st.SKUs[0].ProductID != st.SKUs[len(st.SKUs)-1].ProductID
}

// MostUsed returns at most n of the SKUs, in their order: those with the largest
// totals. A table may bill thousands.
func (st Status) MostUsed(n int) []SKUStatus {
	if len(st.SKUs) <= n {
		return st.SKUs
	}
	totals := make([]int64, len(st.SKUs))
	for i, s := range st.SKUs {
		totals[i] = s.Total
	}
	slices.Sort(totals)
	least := totals[len(totals)-n]
	var most []SKUStatus
	for _, more := range []bool{true, false} { // those above the least total, then as many of it as there is room for
		for _, s := range st.SKUs {
			if more && s.Total > least || !more && s.Total == least && len(most) < n {
				most = append(most, s)
			}
		}
	}
	sortSKUs(most)
	return most
}

// add adds two sums ≥ 0 that may be more than an int64 holds.
func add(a, b int64) int64 {
	if sum := a + b; sum >= 0 {
		return sum
	}
	return 1<<63 - 1
}

// runningOut is how old an unsettled record is when it becomes a problem.
const runningOut = 45 * time.Minute

func (s Subject) unsettled(ctx context.Context, st *Status, r *ledger.Reader) error {
	oldest, err := r.OldestUnsettled(ctx)
	if err != nil || oldest.IsZero() {
		return err
	}
	age := max(0, st.At.Sub(oldest))
	st.OldestUnsettled, st.TimeLeft = int64(age/time.Second), max(0, int64((meter.UsableFor-age)/time.Second))
	if age < runningOut {
		return nil
	}
	message := fmt.Sprintf("the oldest usage that is not delivered is of %v ago: the API takes it for another %v", age.Round(time.Second), (meter.UsableFor - age).Round(time.Second))
	if age >= meter.UsableFor {
		message = fmt.Sprintf("usage of %v ago is not delivered: the API will find it expired", age.Round(time.Second))
	}
	st.problem("time_running_out", message, "see why it is not delivered: the other problems, or `meterlog check --online`")
	return nil
}

func (s Subject) files(st *Status, known []meter.Generation, globs map[string]time.Time, now time.Time) {
	if s.withoutFiles {
		return
	}
	sources := s.sources(globs)
	t := tailer.New(tailer.Config{Sources: followable(sources), Known: known, Globs: globs, NoWatch: true})
	defer t.Close()
	at := make(map[string]int)
	for _, source := range sources {
		at[source.Name] = len(st.Sources)
		st.Sources = append(st.Sources, SourceStatus{Name: source.Name, Files: []FileStatus{}})
	}
	for _, f := range t.Survey(now) {
		if f.Refused {
			st.problem("link_refused", f.Name+" is not followed: "+f.Problem, "if the link is meant, let root own it: `chown -h root LINK`; or name its target in path:, or exclude it")
			continue
		}
		if f.Problem != "" {
			st.problem("file_unreadable", f.Name+" cannot be followed: "+f.Problem, "let the user meterlog read it, or exclude it; it is tried again")
		}
		file := FileStatus{Path: f.Name, Offset: f.Offset, Size: f.Size, Lag: max(0, f.Size-f.Offset), State: string(f.State)}
		for _, name := range f.Sources {
			source := &st.Sources[at[name]]
			source.Files = append(source.Files, file)
		}
	}
	s.streams(st, sources, known, at)
	for _, source := range st.Sources {
		slices.SortFunc(source.Files, func(a, b FileStatus) int { return cmp.Compare(a.Path, b.Path) })
		if len(source.Files) == 0 && s.Config != nil && !everFollowed(s.Config.Source(source.Name), known) {
			st.problem("no_files", "source "+source.Name+" matches no file", "see its path: in the configuration; files that appear later are followed from their beginning")
		}
	}
}

// streams adds the sources without files, by their position in the list.
func (s Subject) streams(st *Status, sources []*rules.Source, known []meter.Generation, at map[string]int) {
	for _, source := range sources {
		if source.Stream() == "" {
			continue
		}
		f := FileStatus{Path: source.Stream(), State: string(meter.Live)}
		i := slices.IndexFunc(known, func(g meter.Generation) bool { return g.Path == f.Path && g.State == meter.Live })
		switch {
		case source.Journal != nil:
			var g meter.Generation
			if i >= 0 {
				g = known[i]
			}
			s.journal(st, &f, g)
		case i >= 0: // the agent alone lets the clock go on, so nothing is ever behind
			f.Offset, f.Size = known[i].Offset, known[i].Offset
		}
		of := &st.Sources[at[source.Name]]
		of.Files = append(of.Files, f)
	}
}

// sources returns what is followed. If the configuration is wrong, these are the
// sources that can still be read in it, or else the paths that the agent has looked
// for.
func (s Subject) sources(globs map[string]time.Time) (sources []*rules.Source) {
	switch {
	case s.Config != nil:
		return s.Config.Sources
	case len(s.Salvaged) > 0:
		return s.Salvaged
	}
	for _, pattern := range slices.Sorted(maps.Keys(globs)) {
		name := config.DerivedName([]string{pattern})
		if slices.ContainsFunc(sources, func(other *rules.Source) bool { return other.Name == name }) {
			name = pattern
		}
		sources = append(sources, &rules.Source{Name: name, Set: glob.Set{Paths: []string{pattern}}})
	}
	return sources
}

// journalTime bounds how long the status waits for journalctl.
const journalTime = 2 * time.Second

// journal fills in how far a journal was read. The numbers count entries. An agent
// follows its journals, and says what is wrong with them: journalctl runs only if
// somebody else asks.
func (s Subject) journal(st *Status, f *FileStatus, g meter.Generation) {
	f.Offset, f.Size = g.Size, g.Size
	if g.MTime > 0 {
		f.last = time.Unix(0, g.MTime).UTC()
	}
	if s.Health != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), journalTime)
	defer cancel()
	behind, err := journal.Behind(ctx, g)
	if err != nil {
		st.problem("journal_unreadable", f.Path+" cannot be read: "+err.Error(), journal.Hint)
		return
	}
	f.Lag = behind
	f.Size += behind
}

// Sources returns the configuration's sources in the form that the tailer takes.
func Sources(config *config.Config) []tailer.Source { return followable(config.Sources) }

func followable(of []*rules.Source) []tailer.Source {
	var sources []tailer.Source
	for _, s := range of {
		if s.Stream() != "" {
			continue
		}
		sources = append(sources, tailer.Source{Name: s.Name, Paths: s.Paths, Exclude: s.Exclude, AtEnd: s.StartAt == "end"})
	}
	return sources
}

// everFollowed reports whether the ledger knows of a file of the source. Files that
// were read to their end may be gone.
func everFollowed(source *rules.Source, known []meter.Generation) bool {
	if source == nil {
		return false
	}
	files := glob.Set{Paths: source.Paths, Exclude: source.Exclude}
	return slices.ContainsFunc(known, func(g meter.Generation) bool {
		return g.State != meter.Forgotten && (files.Covers(g.Path) || slices.ContainsFunc(g.Names, files.Covers))
	})
}
