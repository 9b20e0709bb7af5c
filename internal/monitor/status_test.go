package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

const sku = "dn272e8979uvek5cnuhk"

// site is a configured agent's folder, with its ledger open.
type site struct {
	t    *testing.T
	dir  string
	book *ledger.Ledger
	Subject
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	text := "product_id: p\nsources: [{name: mailer, path: " + dir + "/*.log}]\nrules: [{name: mails, when: 'true', sku_id: " + sku + "}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	return &site{t: t, dir: dir, book: book, Subject: Subject{Version: "1", Dir: filepath.Join(dir, "state"), Config: config, Health: NewHealth()}}
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// count commits units that were used in the minute of at.
func (s *site) count(at time.Time, units int64) {
	s.t.Helper()
	var tally meter.Tally
	tally.Add(meter.CountKey{Rule: &s.Config.Rules[0].Rule, Window: meter.WindowAt(at, time.Minute), Generation: 1}, units, 0, 1, at.Unix())
	s.check(s.book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, at))
}

// settle seals what there is, and has all of it end in the state.
func (s *site) settle(state meter.State, reason string, now time.Time) {
	s.t.Helper()
	_, err := s.book.SealAll(s.t.Context(), now)
	s.check(err)
	records, err := s.book.Pending(s.t.Context(), now, now, meter.MaxRecords, nil)
	s.check(err)
	var results []meter.Result
	for _, r := range records {
		results = append(results, meter.Result{UUID: r.UUID, State: state, Reason: reason})
	}
	s.check(s.book.Settle(s.t.Context(), results, now, 0))
}

func (s *site) anomaly(kind meter.AnomalyKind, subject string, at time.Time) {
	s.t.Helper()
	var tally meter.Tally
	tally.AddAnomaly(meter.AnomalyKey{Kind: kind, Subject: subject}, 5, "an example")
	s.check(s.book.Commit(s.t.Context(), ledger.Batch{Tally: &tally}, at))
}

func (s *site) status(now time.Time) Status {
	s.t.Helper()
	st, err := s.Status(s.t.Context(), now)
	s.check(err)
	return st
}

// problem returns the problem of that code; nil where there is none.
func (st Status) find(code string) *ProblemStatus {
	for i := range st.Problems {
		if st.Problems[i].Code == code {
			return &st.Problems[i]
		}
	}
	return nil
}

// noon is when the tests take place.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func TestSumsOfSKU(t *testing.T) {
	s := newSite(t)
	s.count(noon.Add(-48*time.Hour), 1000)
	s.settle(meter.Accepted, "", noon)
	s.count(noon.Add(-3*time.Hour), 100)
	s.settle(meter.Refused, "INVALID_SKU_ID", noon)
	s.count(noon.Add(-59*time.Minute), 10)
	s.count(noon, 1)
	st := s.status(noon.Add(time.Second))
	if len(st.SKUs) != 1 || st.SKUs[0] != (SKUStatus{ProductID: "p", SKU: sku, LastHour: 11, Today: 11, Total: 1011, Accepted: 1000, Waiting: 11, NotBillable: 100}) {
		t.Errorf("%+v", st.SKUs)
	}
	if st.LastMinutes[0] != 10 || st.LastMinutes[59] != 1 {
		t.Errorf("the last minutes are %v", st.LastMinutes)
	}
	if st.Records[meter.Open] != 2 || st.Records[meter.Accepted] != 1 || st.Records[meter.Refused] != 1 {
		t.Errorf("%v", st.Records)
	}
	if st.OldestUnsettled != 59*60+1 || st.TimeLeft != 59 {
		t.Errorf("oldest %d s, left %d s", st.OldestUnsettled, st.TimeLeft)
	}
}

func TestTimeRunsOut(t *testing.T) {
	s := newSite(t)
	s.count(noon, 1)
	for _, c := range []struct {
		after   time.Duration
		message string
		left    int64
	}{
		{44 * time.Minute, "", 16 * 60},
		{45 * time.Minute, "another 15m0s", 15 * 60},
		{61 * time.Minute, "expired", 0},
	} {
		st := s.status(noon.Add(c.after))
		p := st.find("time_running_out")
		if st.TimeLeft != c.left || (p == nil) != (c.message == "") || p != nil && !strings.Contains(p.Message, c.message) {
			t.Errorf("after %v: left %d s, problem %+v", c.after, st.TimeLeft, p)
		}
	}
}

// What happened is a problem for a while, and stays in the ledger after that.
func TestProblemsFade(t *testing.T) {
	s := newSite(t)
	s.anomaly(meter.BytesMissed, "a.log", noon)
	s.anomaly(meter.RuleError, "a.log", noon)
	s.count(noon, 7)
	s.settle(meter.Refused, "INVALID_SKU_ID", noon)
	for _, c := range []struct {
		after         time.Duration
		gap, refusals bool
	}{{0, true, true}, {recentAnomaly, false, true}, {recentUnbilled, false, false}} {
		st := s.status(noon.Add(c.after))
		if (st.find("gap") != nil) != c.gap || (st.find("rule_error") != nil) != c.gap || (st.find("refused") != nil) != c.refusals {
			t.Errorf("after %v: %+v", c.after, st.Problems)
		}
		if st.Records[meter.Refused] != 1 {
			t.Errorf("after %v: %v", c.after, st.Records)
		}
	}
	if p := s.status(noon).find("refused"); p == nil || !strings.Contains(p.Hint, "meterlog retry --reason INVALID_SKU_ID") || !strings.Contains(p.Message, "7 units") {
		t.Errorf("%+v", p)
	}
}

func TestEveryProblemSaysWhatToDo(t *testing.T) {
	s := newSite(t)
	for kind := range anomalyWords {
		s.anomaly(kind, "a.log", noon)
	}
	for i, state := range []meter.State{meter.Refused, meter.Expired, meter.InDoubt} {
		s.count(noon.Add(time.Duration(i)*time.Minute), 1)
		s.settle(state, "", noon.Add(time.Duration(i)*time.Minute))
	}
	st := s.status(noon.Add(time.Hour))
	all := append(st.Problems, st.Notes...)
	if want := len(anomalyWords) + 3 + 1; len(all) != want || len(st.Notes) != 4 { // 1: no files, 4: the history, what is foreign, what was missed and late events
		t.Errorf("%d problems and notes, want %d: %+v", len(all), want, all)
	}
	for _, p := range all {
		if p.Message == "" || p.Hint == "" || strings.HasPrefix(p.Message, ":") {
			t.Errorf("%+v", p)
		}
	}
}

// A ledger whose pages are damaged is a problem among others, and the files are
// shown.
func TestStatusOfADamagedLedger(t *testing.T) {
	s := newSite(t)
	s.count(noon, 3)
	s.check(os.WriteFile(filepath.Join(s.dir, "a.log"), []byte("one\n"), 0o600))
	s.check(s.book.Close())
	f, err := os.OpenFile(filepath.Join(s.Dir, ledger.FileName), os.O_RDWR, 0)
	s.check(err)
	info, err := f.Stat()
	s.check(err)
	const header = 4096 // the first page lists the tables
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(info.Size())-header), header)
	s.check(errors.Join(err, f.Close()))
	st := s.status(noon)
	if p := st.find("ledger_unreadable"); p == nil || p.Hint == "" {
		t.Errorf("problems: %+v", st.Problems)
	}
	if len(st.Sources) != 1 || len(st.Sources[0].Files) != 1 {
		t.Errorf("sources: %+v", st.Sources)
	}
}

func TestFilesBehind(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(s.dir, "a.log")
	s.check(os.WriteFile(path, []byte("one\ntwo\n"), 0o600))
	st := s.status(noon)
	if files := st.Sources[0].Files; len(files) != 1 || files[0] != (FileStatus{Path: path, Size: 8, Lag: 8, State: "live"}) {
		t.Errorf("%+v", files)
	}
	if st.find("no_files") != nil {
		t.Errorf("%+v", st.Problems)
	}
}

// get asks the handler, and returns the status and the body.
func (s *site) get(path string) (int, string) {
	s.t.Helper()
	server := httptest.NewServer(Handler(func() Subject { return s.Subject }, quiet))
	defer server.Close()
	response, err := http.Get(server.URL + path)
	s.check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.check(err)
	return response.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		trouble func(*site)
		want    string // what the answer says; "" where all is well
	}{
		{"all is well", func(*site) {}, ""},
		{"a rule fails", func(s *site) { s.anomaly(meter.RuleError, "a.log", now) }, ""},
		{"lines were missed", func(s *site) { s.anomaly(meter.BytesMissed, "a.log", now) }, "gap: "},
		{"lines were missed yesterday", func(s *site) { s.anomaly(meter.BytesMissed, "a.log", now.Add(-2*time.Hour)) }, ""},
		{"not delivering", func(s *site) { s.Health.Raise(meter.Problem{Code: "delivery_failing", Message: "403"}) }, "delivery_failing: 403"},
		{"ledger trouble", func(s *site) { s.Health.Raise(meter.Problem{Code: "ledger_unwritable"}) }, "ledger_unwritable: "},
		{"the hour passes", func(s *site) { s.count(now.Add(-50*time.Minute), 1) }, "time_running_out: "},
		{"a loop hangs", func(s *site) { s.Health.Heartbeat("meter").Beat(-time.Second) }, "not_alive: "},
		{"the ledger is gone", func(s *site) { s.check(os.Rename(s.Dir, s.Dir+".away")); s.check(os.WriteFile(s.Dir, nil, 0o600)) }, "ledger_unreadable: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.trouble(s)
			code, body := s.get("/healthz")
			want, start := http.StatusServiceUnavailable, c.want
			if c.want == "" {
				want, start = http.StatusOK, "ok\n"
			}
			if code != want || !strings.HasPrefix(body, start) {
				t.Errorf("%d %q, want %d %q", code, body, want, start)
			}
		})
	}
}

// Very many files cost seconds to look at, and none makes the agent unhealthy: /healthz
// looks at none.
func TestHealthLooksAtNoFile(t *testing.T) {
	s := newSite(t)
	if s.get("/healthz"); s.Health.survey.of != nil {
		t.Error("/healthz looked at the files")
	}
	if s.get("/status"); s.Health.survey.of == nil {
		t.Error("/status looked at no file")
	}
}

func TestServedStatus(t *testing.T) {
	s := newSite(t)
	s.count(noon, 3)
	code, body := s.get("/status")
	var st Status
	if err := json.Unmarshal([]byte(body), &st); code != http.StatusOK || err != nil || st.SKUs[0].Total != 3 || !st.Running {
		t.Errorf("%d, %v: %s", code, err, body)
	}
	if code, _ := s.get("/nothing"); code != http.StatusNotFound {
		t.Errorf("there is something: %d", code)
	}
}

// The metrics have names as Prometheus wants them, and the values of the ledger.
func TestMetrics(t *testing.T) {
	s := newSite(t)
	s.check(os.WriteFile(filepath.Join(s.dir, "a.log"), []byte("one\ntwo\n"), 0o600))
	s.anomaly(meter.BytesMissed, "a.log", noon)
	s.anomaly(meter.BytesMissed, "b.log", noon)
	s.count(noon, 3)
	s.settle(meter.Accepted, "", noon)
	s.count(noon, 4)
	code, body := s.get("/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	for _, line := range []string{
		`meterlog_records{state="open"} 1`,
		`meterlog_units_total{product_id="p",sku_id="` + sku + `",state="accepted"} 3`,
		`meterlog_lag_bytes{source="mailer"} 8`,
		`meterlog_units_total{product_id="p",sku_id="` + sku + `",state="refused"} 0`,
		`meterlog_anomalies_total{kind="gap",subject=""} 2`,
		`meterlog_missed_bytes_total{kind="gap"} 10`,
		`meterlog_anomalies_total{kind="too_long",subject=""} 0`,
		`meterlog_anomalies_total{kind="rule_error",subject="mails"} 0`,
		`meterlog_anomalies_total{kind="bad_timestamp",subject="mailer"} 0`,
		`meterlog_build_info{version="1"} 1`,
		`meterlog_read_bytes_total 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	found, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Of thousands of SKUs the largest are shown, in the order of all.
func TestMostUsed(t *testing.T) {
	var st Status
	for i := range int64(10) {
		st.SKUs = append(st.SKUs, SKUStatus{SKU: fmt.Sprint("sku-", i), Total: i % 5})
	}
	for n, want := range map[int]string{1: "[sku-4]", 3: "[sku-3 sku-4 sku-9]", 4: "[sku-3 sku-4 sku-8 sku-9]", 20: "[sku-0 sku-1 sku-2 sku-3 sku-4 sku-5 sku-6 sku-7 sku-8 sku-9]"} {
		var got []string
		for _, s := range st.MostUsed(n) {
			got = append(got, s.SKU)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("of %d: %v, want %s", n, got, want)
		}
	}
}

// DUPLICATE at a first attempt tells that the machine went back to a snapshot.
func TestLedgerRolledBack(t *testing.T) {
	s := newSite(t)
	s.count(noon.Add(-2*time.Minute), 7)
	s.settle(meter.Refused, "DUPLICATE", noon)
	p := s.status(noon).find("ledger_rolled_back")
	if p == nil {
		t.Fatalf("problems: %+v", s.status(noon).Problems)
	}
	const want = "1 record of dn272e8979uvek5cnuhk, 7 units, is refused by the API: DUPLICATE (the API had them before their first attempt: " +
		"the machine or its state folder went back to a snapshot), the last at 2026-03-14T12:00:00Z"
	if p.Message != want {
		t.Errorf("it says %q, want %q", p.Message, want)
	}
}

// A source had a file if one of the file's names was the source's, whichever source
// found it first.
func TestSourceThatHadAFileByAnotherName(t *testing.T) {
	s := newSite(t)
	for _, names := range [][]string{nil, {filepath.Join(s.dir, "a.log")}} {
		g := meter.Generation{ID: 1, Path: "/elsewhere/x.log", Names: names, EOFAt: -1, State: meter.Live}
		s.check(s.book.Commit(s.t.Context(), ledger.Batch{Generations: []meter.Generation{g}, Tally: new(meter.Tally)}, noon))
		if reported := s.status(noon).find("no_files") != nil; reported != (names == nil) {
			t.Errorf("with the names %q no_files is reported: %t", names, reported)
		}
	}
}
