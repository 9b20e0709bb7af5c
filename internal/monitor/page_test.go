package monitor

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

// get returns the status code, the policy and the text of a page.
func (s *site) page(path string) (code int, policy, text string) {
	w := httptest.NewRecorder()
	Handler(func() Subject { return s.Subject }, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Header().Get("Content-Security-Policy"), w.Body.String()
}

func wantText(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not in\n%s", part, page)
		}
	}
}

func TestPageShowsUsageAndRecords(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	s.count(now.Add(-10*time.Minute), 30)
	s.count(now.Add(-3*time.Hour), 400)
	s.count(now.Add(-5*24*time.Hour), 5000)
	s.settle(meter.Refused, "INVALID_SKU_ID", now)
	s.count(now, 7)
	records, err := s.latest()
	s.check(err)
	for span, want := range map[string]string{"": "7 units in the last hour", "?span=day": "407 units in the last day", "?span=month": "5407 units in the last month", "?span=none": ": 7</title>"} {
		code, policy, page := s.page("/" + span)
		if code != 200 || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: %d, policy %q", span, code, policy)
		}
		wantText(t, page, want, `<svg`, `<td class="n">5407</td><td class="n">0</td><td class="n">30</td></tr>`, "refused: INVALID_SKU_ID", `href="/record/`+records[0].UUID+`"`)
		if strings.Contains(page, "http:") || strings.Contains(page, "https:") || strings.Contains(page, " src=") {
			t.Errorf("the page asks for something: %s", page)
		}
	}
}

// latest reads the newest records of the ledger.
func (s *site) latest() ([]meter.Record, error) {
	reader, err := ledger.OpenReader(s.Dir)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return reader.Latest(s.t.Context(), 3)
}

func TestPageOfARecordShowsNoText(t *testing.T) {
	s := newSite(t)
	s.count(time.Now(), 7)
	records, err := s.latest()
	s.check(err)
	code, _, page := s.page("/record/" + strings.ToUpper(records[0].UUID))
	if code != 200 {
		t.Fatalf("%d: %s", code, page)
	}
	wantText(t, page, records[0].UUID, sku, "mails", "meterlog explain "+records[0].UUID)
	if code, _, page = s.page("/record/6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"); code != 404 {
		t.Errorf("an unknown record: %d: %s", code, page)
	}
}

func TestHeadlineSaysWhetherUsageIsBilled(t *testing.T) {
	problem := func(codes ...string) (st Status) {
		for _, code := range codes {
			st.Problems = append(st.Problems, ProblemStatus{Code: code})
		}
		return st
	}
	for _, c := range []struct {
		Status
		billing bool
		text    string
	}{
		{problem(), true, "Usage is billed"},
		{problem("refused"), true, "Usage is billed, with a problem to look at"},
		{problem("refused", "gap"), true, "Usage is billed, with 2 problems to look at"},
		{problem("refused", "not_running"), false, "Usage is not billed"},
		{problem("delivery_failing"), false, "Usage is not billed"},
	} {
		if billing, text := headline(c.Status); billing != c.billing || text != c.text {
			t.Errorf("%v: %v, %q", c.Problems, billing, text)
		}
	}
}

// Whatever a name or a message holds is text on the page.
func TestPageEscapes(t *testing.T) {
	const evil = `<script>alert("x")</script>`
	var page strings.Builder
	err := pages.ExecuteTemplate(&page, "status", statusPage{Span: spans[0], Spans: spans, Title: evil, Headline: evil,
		Latest: []meter.Record{{UUID: evil, SKU: evil, Reason: evil}},
		Usage:  []skuUsage{{SKU: evil}},
		Status: Status{Version: evil, ProductID: evil, StateDir: evil,
			SKUs:     []SKUStatus{{SKU: evil}},
			Sources:  []SourceStatus{{Name: evil, Files: []FileStatus{{Path: evil, Lag: 7}, {Lag: 5}}}},
			Problems: []ProblemStatus{{Code: evil, Message: evil, Hint: evil}},
			Notes:    []ProblemStatus{{Code: evil, Message: evil, Hint: evil}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script>") || strings.Count(page.String(), "&lt;script&gt;alert") < 15 {
		t.Errorf("the page is not escaped: %s", page.String())
	}
	wantText(t, page.String(), "12 bytes behind")
}
