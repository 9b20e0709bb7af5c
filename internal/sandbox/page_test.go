package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPages(t *testing.T) {
	m := newModel(t, Config{})
	if _, _, body := m.do("GET", "/", ""); !strings.Contains(body, "Nothing yet") {
		t.Error(body)
	}
	for path, want := range map[string]string{"/records": "[]\n", "/totals": "[]\n"} {
		if _, _, body := m.do("GET", path, ""); body != want {
			t.Errorf("%s: %q", path, body)
		}
	}
	m.post(request(record(), record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000001"`, "quantity", "39"),
		record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000002"`, "skuId", `"<b>&"`)))
	_, _, page := m.do("GET", "/", "")
	for _, want := range []string{"42 units in 2 records", `<rect class="bar" x="630" y="10" width="9" height="40">`, "&lt;b&gt;&amp;", "2024-09-16 11:59"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	_, _, totals := m.do("GET", "/totals", "")
	if want := `[{"product_id":"` + product + `","sku_id":"\u003cb\u003e\u0026","records":1,"quantity":3},{"product_id":"` + product + `","sku_id":"` + sku + `","records":2,"quantity":42}]` + "\n"; totals != want {
		t.Errorf("totals %s\nwant %s", totals, want)
	}
	_, _, records := m.do("GET", "/records", "")
	if !strings.HasPrefix(records, `[{"uuid":"`+id+`","product_id":"`+product+`","sku_id":"`+sku+`","quantity":3,"timestamp":"2024-09-16T11:59:00Z","accepted_at":"2024-09-16T12:00:00Z"},`) {
		t.Error(records)
	}
	_, _, problems := m.do("GET", "/problems", "")
	if !strings.HasPrefix(problems, `{"conflicts":[],"requests":{"requests":1,"writes":1,`) {
		t.Error(problems)
	}
	if status, header, body := m.do("GET", "/nowhere", ""); status != 404 || !strings.Contains(body, `"code":5`) || header.Get("Date") != "Mon, 16 Sep 2024 12:00:00 GMT" {
		t.Error(status, header, body)
	}
}

// The page shows what was not accepted, and why.
func TestPageShowsRejections(t *testing.T) {
	m := newModel(t, Config{Products: map[string][]string{product: {sku}}, Faults: []Fault{{Kind: FaultStatus, Status: 503, Times: 2}}})
	m.post(request(record()))
	m.post(request(record()))
	m.post(request(record("skuId", `"<other>"`)))
	m.post(strings.Replace(request(record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000001"`, "timestamp", `"2024-09-16T10:00:00Z"`)), "false", "true", 1))
	m.post(request())
	m.token = "wrong"
	m.post(request(record()))
	_, header, page := m.do("GET", "/", "")
	for _, want := range []string{
		"<h1>Sandbox</h1>", "INVALID_SKU_ID</span>: 1; the product has no such SKU", "&lt;other&gt;", "EXPIRED</span>: 1; the timestamp is older than an hour",
		"validate_only</td>", ">503</td><td>a fault of the sandbox</td><td class=\"n\">2<", ">401</td><td>The token is invalid<", "range 1-25",
		"prefers-color-scheme: dark", `data-key="reason EXPIRED"`, "details[open]",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	nonce := strings.SplitN(strings.SplitN(page, `<script nonce="`, 2)[1], `"`, 2)[0]
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'nonce-"+nonce+"'") || !strings.Contains(policy, "style-src 'nonce-"+nonce+"'") {
		t.Errorf("the policy %q keeps the page's own script or style out", policy)
	}
	var rejected []Rejected
	_, _, body := m.do("GET", "/rejected", "")
	if err := json.Unmarshal([]byte(body), &rejected); err != nil || len(rejected) != 2 || rejected[0].Reason != "INVALID_SKU_ID" || rejected[0].SKU != "<other>" ||
		rejected[1].Reason != "EXPIRED" || !rejected[1].ValidateOnly || rejected[1].At.Format(time.RFC3339) != noon {
		t.Error(body, err)
	}
}

// The plot has an axis of units and one of time.
func TestPageHasAxes(t *testing.T) {
	m := newModel(t, Config{})
	m.post(request(record("quantity", "42")))
	_, _, page := m.do("GET", "/", "")
	for _, want := range []string{`text-anchor="end">42</text>`, `text-anchor="end">0</text>`, `text-anchor="end">12:00</text>`, `text-anchor="middle">11:10</text>`, "<title>11:59: 42</title>"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	if strings.Contains(page, "11:00</text>") {
		t.Error("the axis is longer than an hour")
	}
}

// What is kept for the page is bounded.
func TestRejectionsAreBounded(t *testing.T) {
	m := newModel(t, Config{})
	for i := range kept + 10 {
		m.post(request(record("quantity", "0")))
		m.failed(&apiError{status: 500, message: fmt.Sprint(i)})
	}
	if n := len(m.Rejected()); n != kept {
		t.Errorf("%d rejected records are kept", n)
	}
	if failures := m.Failures(); len(failures) != kept || failures[kept-1].Message != fmt.Sprint(kept+9) {
		t.Errorf("%d failures are kept", len(failures))
	}
	if views := viewRejected(m.Rejected()); len(views) != 1 || views[0].Count != kept || len(views[0].Records) != shownRejected {
		t.Errorf("%+v", views)
	}
}

// The page lists the minutes of a SKU, the latest first, and no more than an hour.
func TestPageListsMinutes(t *testing.T) {
	now, err := time.Parse(time.RFC3339, noon)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, Config{MaxAge: 3 * time.Hour})
	for i := range 70 {
		at := now.Add(-time.Duration(i) * time.Minute).Format(time.RFC3339)
		m.post(request(record("uuid", fmt.Sprintf(`"6da9b1a4-7a2e-4c7b-8f0e-%012d"`, i), "timestamp", `"`+at+`"`)))
	}
	view := viewSKU(m.Totals()[0], m.Records(), now)
	if len(view.Minutes) != shownMinutes || !view.Minutes[0].At.Equal(now) || !view.Minutes[1].At.Equal(now.Add(-time.Minute)) {
		t.Errorf("%d minutes, from %v", len(view.Minutes), view.Minutes[0].At)
	}
}
