package sandbox

import (
	"cmp"
	_ "embed"
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

func (s *Sandbox) servePage(w http.ResponseWriter, _ *http.Request) {
	now := s.now().UTC().Truncate(time.Minute)
	view := struct {
		Now                   time.Time
		SKUs                  []skuView
		Stats                 Stats
		Conflicts, Violations []string
	}{Now: now, Stats: s.Stats(), Conflicts: s.Conflicts(), Violations: s.Violations()}
	records := s.Records()
	for _, total := range s.Totals() {
		view.SKUs = append(view.SKUs, viewSKU(total, records, now))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := page.Execute(w, view); err != nil {
		s.cfg.Log.Warn("the page was not written", "error", err)
	}
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
		v.Bars = append(v.Bars, bar{X: float64(shownMinutes-1-ago) * 10, Y: 40 - height, Height: height, Title: m.At.Format("15:04")})
	}
	if len(v.Minutes) > shownMinutes {
		v.Minutes = v.Minutes[:shownMinutes]
	}
	return v
}
