package sandbox

import (
	"cmp"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// shownMinutes is how far back the page's plots reach.
const shownMinutes = 60

// skuView is what the page shows of one SKU.
type skuView struct {
	Total
	Peak    int64
	Bars    []bar
	Minutes []minute // with usage, the latest first
}

// bar is a minute in a plot, in its coordinates.
type bar struct {
	X, Y, Height float64
	Title        string
}

type minute struct {
	At       time.Time
	Records  int
	Quantity int64
}

// shownRejected is how many records of one reason the page shows: the latest.
const shownRejected = 50

// reasonView is what the page shows of one reason.
type reasonView struct {
	Reason, Why string
	Count       int
	Records     []Rejected // the latest first
}

// reasons says what each reason means, in the documentation's terms.
var reasons = map[string]string{
	"DUPLICATE":          "a record with this uuid exists",
	"EXPIRED":            "the timestamp is older than an hour",
	"INVALID_TIMESTAMP":  "the timestamp is in the future",
	"INVALID_SKU_ID":     "the product has no such SKU",
	"INVALID_PRODUCT_ID": "there is no such product",
	"INVALID_QUANTITY":   "the quantity must be above 0",
	"INVALID_ID":         "the uuid is none",
}

func (s *Sandbox) servePage(w http.ResponseWriter, _ *http.Request) {
	now := s.now().UTC()
	view := struct {
		Now                   time.Time
		Nonce                 string
		SKUs                  []skuView
		Hours                 []bar // marks of the time axis
		Reasons               []reasonView
		Failures              []Failure
		Stats                 Stats
		Conflicts, Violations []string
	}{
		Now: now, Nonce: rand.Text(), Hours: timeAxis(now), Reasons: viewRejected(s.Rejected()), Failures: s.Failures(),
		Stats: s.Stats(), Conflicts: s.Conflicts(), Violations: s.Violations(),
	}
	records := s.Records()
	for _, total := range s.Totals() {
		view.SKUs = append(view.SKUs, viewSKU(total, records, now.Truncate(time.Minute)))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; connect-src 'self'; script-src 'nonce-"+view.Nonce+"'; style-src 'nonce-"+view.Nonce+"'")
	if err := page.Execute(w, view); err != nil {
		s.cfg.Log.Warn("the page was not written", "error", err)
	}
}

// timeAxis marks every ten minutes of the hour before now.
func timeAxis(now time.Time) (marks []bar) {
	now = now.Truncate(time.Minute)
	for at := now.Truncate(10 * time.Minute); now.Sub(at) < shownMinutes*time.Minute; at = at.Add(-10 * time.Minute) {
		marks = append(marks, bar{X: barAt(int(now.Sub(at) / time.Minute)), Title: at.Format("15:04")})
	}
	return marks
}

// barAt is where the bar of so many minutes ago begins in a plot.
func barAt(ago int) float64 { return 50 + float64(shownMinutes-1-ago)*10 }

// viewRejected sorts rejected records by their reason.
func viewRejected(rejected []Rejected) (views []reasonView) {
	for _, r := range slices.Backward(rejected) {
		i := slices.IndexFunc(views, func(v reasonView) bool { return v.Reason == r.Reason })
		if i < 0 {
			i = len(views)
			views = append(views, reasonView{Reason: r.Reason, Why: reasons[r.Reason]})
		}
		views[i].Count++
		if len(views[i].Records) < shownRejected {
			views[i].Records = append(views[i].Records, r)
		}
	}
	slices.SortFunc(views, func(a, b reasonView) int { return cmp.Compare(a.Reason, b.Reason) })
	return views
}

// viewSKU sorts one SKU's records into minutes of usage, by timestamp.
func viewSKU(total Total, records []Stored, now time.Time) skuView {
	v := skuView{Total: total}
	minutes := map[time.Time]*minute{}
	for _, r := range records {
		if r.ProductID != total.ProductID || r.SKU != total.SKU {
			continue
		}
		at := r.Timestamp.Truncate(time.Minute)
		if minutes[at] == nil {
			minutes[at] = &minute{At: at}
		}
		minutes[at].Records++
		minutes[at].Quantity += r.Quantity
	}
	for _, m := range minutes {
		v.Minutes = append(v.Minutes, *m)
		v.Peak = max(v.Peak, m.Quantity)
	}
	slices.SortFunc(v.Minutes, func(a, b minute) int { return b.At.Compare(a.At) })
	for _, m := range v.Minutes {
		ago := int(now.Sub(m.At) / time.Minute)
		if ago < 0 || ago >= shownMinutes {
			continue
		}
		height := 40 * float64(m.Quantity) / float64(cmp.Or(v.Peak, 1))
		v.Bars = append(v.Bars, bar{X: barAt(ago), Y: 50 - height, Height: height, Title: fmt.Sprintf("%s: %d", m.At.Format("15:04"), m.Quantity)})
	}
	if len(v.Minutes) > shownMinutes {
		v.Minutes = v.Minutes[:shownMinutes]
	}
	return v
}
