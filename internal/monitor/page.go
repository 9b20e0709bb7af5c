package monitor

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"math"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/page"
)

// pages shows the status and a record to a person. They hold no text of a log
// line: anybody who may connect can see them.
//
//go:embed page.html
var pagesText string

var pages = page.Parse(pagesText, template.FuncMap{
	"age": age, "behind": behind, "shown": shownFiles, "more": moreFiles, "state": stateName, "at": utcText, "decimal": meter.Decimal, "skus": func(st Status) []SKUStatus { return st.MostUsed(skusShown) },
	"unshown": func(st Status) int { return max(0, len(st.SKUs)-skusShown) },
})

const (
	latestShown = 20
	skusPlotted = 30
	skusShown   = 200
	filesShown  = 100 // of one source
)

// span is a stretch of time that the page plots.
type span struct {
	Key, Name, Each string
	by              ledger.Period
	step            time.Duration // of one bar
	bars            int
	mark            time.Duration // between the labels of the axis
	label, title    string        // layouts of a label, and of a bar's beginning
}

var spans = []span{
	{"hour", "last hour", "a minute", ledger.Minutely, time.Minute, 60, 10 * time.Minute, "15:04", "15:04"},
	{"day", "last day", "an hour", ledger.Hourly, time.Hour, 24, 6 * time.Hour, "15:04", "Jan 2 15:04"},
	{"month", "last month", "a day", ledger.Daily, 24 * time.Hour, 31, 7 * 24 * time.Hour, "Jan 2", "Jan 2"},
}

// skuUsage is the usage of one SKU in a span.
type skuUsage struct {
	SKU   string
	Units int64
	Plot  page.Plot
}

// statusPage is a status with what the page adds.
type statusPage struct {
	Status
	Title, Headline, Nonce string
	Billing                bool
	Spans                  []span
	Span                   span
	Usage                  []skuUsage
	Counts                 []stateCount
	Latest                 []meter.Record
}

type stateCount struct {
	State string
	N     int
}

// recordPage is a record with what the page adds.
type recordPage struct {
	ledger.Account
	Title, Nonce string
}

func age(seconds int64) string { return (time.Duration(seconds) * time.Second).String() }

// utcText returns a time in seconds since 1970, for a person.
func utcText(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05") }

func stateName(s meter.State) string { return strings.ReplaceAll(string(s), "_", " ") }

func behind(s SourceStatus) (bytes int64) {
	for _, f := range s.Files {
		bytes += f.Lag
	}
	return bytes
}

func shownFiles(files []FileStatus) []FileStatus { return files[:min(len(files), filesShown)] }

func moreFiles(files []FileStatus) int { return max(0, len(files)-filesShown) }

// servePage answers with the page of the status.
func (s Subject) servePage(w http.ResponseWriter, r *http.Request) error {
	reader, unreadable := ledger.OpenReader(s.Dir)
	if unreadable == nil {
		defer reader.Close()
	}
	st, err := s.statusOf(r.Context(), reader, unreadable, time.Now())
	if err != nil {
		return err
	}
	full := statusPage{Status: st, Spans: spans, Span: spans[0]}
	if i := slices.IndexFunc(spans, func(s span) bool { return s.Key == r.URL.Query().Get("span") }); i >= 0 {
		full.Span = spans[i]
	}
	full.Billing, full.Headline = headline(st)
	full.Title = "meterlog: " + full.Headline
	for _, state := range meter.States {
		full.Counts = append(full.Counts, stateCount{stateName(state), st.Records[state]})
	}
	if unreadable == nil {
		if err := full.read(r.Context(), reader); err != nil {
			return err
		}
	}
	full.Nonce = page.Nonce(w.Header())
	return write(w, "status", full)
}

// headline returns in a few words whether usage is billed.
func headline(st Status) (billing bool, text string) {
	stops := slices.ContainsFunc(st.Problems, func(p ProblemStatus) bool {
		return p.Code == "not_running" || slices.Contains(healthCodes, p.Code)
	})
	switch {
	case stops:
		return false, "Usage is not billed"
	case len(st.Problems) == 1:
		return true, "Usage is billed, with a problem to look at"
	case len(st.Problems) > 1:
		return true, fmt.Sprintf("Usage is billed, with %d problems to look at", len(st.Problems))
	}
	return true, "Usage is billed"
}

// read reads the usage of the page's span and the latest records.
func (full *statusPage) read(ctx context.Context, reader *ledger.Reader) (err error) {
	if full.Latest, err = reader.Latest(ctx, latestShown); err != nil {
		return err
	}
	from := full.At.UTC().Truncate(full.Span.step).Add(-time.Duration(full.Span.bars-1) * full.Span.step)
	sums, err := reader.Sums(ctx, full.Span.by, from, time.Time{})
	if err != nil {
		return err
	}
	full.plot(from, sums)
	return nil
}

// plot makes a plot of each of the most used SKUs.
func (full *statusPage) plot(from time.Time, sums []ledger.Sum) {
	bySKU := make(map[[2]string]map[time.Time]int64)
	for _, sum := range sums {
		key := [2]string{sum.ProductID, sum.SKU}
		if bySKU[key] == nil {
			bySKU[key] = make(map[time.Time]int64)
		}
		bySKU[key][sum.Period] = billed(sum)
	}
	for _, sku := range full.MostUsed(skusPlotted) {
		usage := skuUsage{SKU: sku.SKU}
		buckets := make([]page.Bucket, full.Span.bars)
		for i := range buckets {
			at := from.Add(time.Duration(i) * full.Span.step)
			buckets[i] = page.Bucket{From: at.Format(full.Span.title), Units: bySKU[[2]string{sku.ProductID, sku.SKU}][at]}
			if at.Unix()%int64(full.Span.mark/time.Second) == 0 {
				buckets[i].Mark = at.Format(full.Span.label)
			}
			usage.Units = add(usage.Units, buckets[i].Units)
		}
		usage.Plot = page.NewPlot("units of "+sku.SKU+" "+full.Span.Each+" in the "+full.Span.Name, buckets)
		full.Usage = append(full.Usage, usage)
	}
}

// billed returns the part of a sum that is billed, or may be.
func billed(s ledger.Sum) int64 {
	units := new(big.Int).Add(s.Accepted, s.Waiting)
	if units.Add(units, s.InDoubt); units.IsInt64() {
		return units.Int64()
	}
	return math.MaxInt64
}

// serveRecord answers with the page of one record: the byte ranges that it was
// counted from, and no text.
func (s Subject) serveRecord(w http.ResponseWriter, r *http.Request) error {
	reader, err := ledger.OpenReader(s.Dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	uuid := strings.ToLower(r.PathValue("uuid"))
	account, err := reader.Account(r.Context(), uuid)
	if errors.Is(err, ledger.ErrUnknown) {
		http.Error(w, "the ledger has no record with this uuid", http.StatusNotFound)
		return nil
	} else if err != nil {
		return err
	}
	slices.SortFunc(account.Contributions, func(a, b ledger.Contribution) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Generation.ID, b.Generation.ID), cmp.Compare(a.Start, b.Start))
	})
	full := recordPage{Account: account, Title: "meterlog: record " + uuid, Nonce: page.Nonce(w.Header())}
	return write(w, "record", full)
}

// write answers with a whole page. After an error it writes nothing.
func write(w http.ResponseWriter, name string, content any) error {
	var text bytes.Buffer
	if err := pages.ExecuteTemplate(&text, name, content); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}
