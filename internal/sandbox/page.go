package sandbox

import (
	"cmp"
	_ "embed"
	"net/http"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/page"
)

//go:embed page.html
var pageText string

var pageTemplate = page.Parse(pageText, nil)

// shownMinutes is how far back the page's plots reach.
const shownMinutes = 60

// skuView is what the page shows of one SKU.
type skuView struct {
	Total
	Plot    page.Plot
	Minutes []minute // with usage, the latest first
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
	"INVALID_ID":         "the uuid is not valid",
}

func (s *Sandbox) servePage(w http.ResponseWriter, _ *http.Request) {
	now := s.now().UTC()
	view := struct {
		Now                   time.Time
		Nonce                 string
		SKUs                  []skuView
		Reasons               []reasonView
		Failures              []Failure
		Stats                 Stats
		Conflicts, Violations []string
	}{
		Now: now, Nonce: page.Nonce(w.Header()), Reasons: viewRejected(s.Rejected()), Failures: s.Failures(),
		Stats: s.Stats(), Conflicts: s.Conflicts(), Violations: s.Violations(),
	}
	records := s.Records()
	for _, total := range s.Totals() {
		view.SKUs = append(view.SKUs, viewSKU(total, records, now.Truncate(time.Minute)))
	}
	if err := pageTemplate.Execute(w, view); err != nil {
		s.cfg.Log.Warn("the page was not written", "error", err)
	}
}

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
	}
	slices.SortFunc(v.Minutes, func(a, b minute) int { return b.At.Compare(a.At) })
	buckets := make([]page.Bucket, shownMinutes)
	for i := range buckets {
		at := now.Add(time.Duration(i-shownMinutes+1) * time.Minute)
		buckets[i].From = at.Format("15:04")
		if at.Minute()%10 == 0 {
			buckets[i].Mark = buckets[i].From
		}
		if m := minutes[at]; m != nil {
			buckets[i].Units = m.Quantity
		}
	}
	v.Plot = page.NewPlot("units of each minute in the last hour", buckets)
	if len(v.Minutes) > shownMinutes {
		v.Minutes = v.Minutes[:shownMinutes]
	}
	return v
}
