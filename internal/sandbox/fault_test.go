package sandbox

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	for _, row := range []struct {
		fault  string
		status int
		want   string
		stored int
	}{
		{"drop-before", 0, "closed", 0},
		{"drop-after", 0, "closed", 1},
		{"status=503,retry-after=1500ms", 503, `"code":14`, 0},
		{"status-after=500", 500, `"code":13`, 1},
		{"status=307", 307, "", 0},
		{"poison=" + sku, 400, `"code":3`, 0},
		{"poison=other", 200, `"accepted":[{`, 1},
		{"garbage", 200, "garbage", 1},
		{"truncate", 200, "unexpected EOF", 1},
		{"cut", 200, `{"accepted":[`, 1},
		{"html", 200, "<html>", 1},
		{"empty", 200, "", 1},
		{"partial", 200, `"reason":"INVALID_SKU_ID"`, 0},
		{"omit", 200, `{"accepted":[],"rejected":[]}`, 1},
		{"both", 200, `"reason":"INVALID_QUANTITY"`, 1},
		{"twice", 200, `},{"quantity"`, 1},
		{"stranger", 200, `"reason":"EXPIRED"`, 1},
		{"snake", 200, `"sku_id"`, 1},
		{"upper", 200, strings.ToUpper(id), 1},
		{"no-arrays", 200, `{"accepted":[{"quantity":"3","skuId":"` + sku + `","timestamp":"2024-09-16T11:59:00Z","uuid":"` + id + `"}]}`, 1},
		{"extra", 200, `"billing"`, 1},
		{"token=503", 200, `"accepted":[{`, 1},
		{"hang-before", 0, "closed", 0},
		{"hang-after", 0, "closed", 1},
		{"huge", 200, `"accepted":[{`, 1},
		{"error-200", 200, `"code":7`, 0},
		{"no-verdicts", 200, `{"accepted":[],"rejected":[]}`, 1},
		{"reset-before=cancel", 0, "closed", 0},
		{"goaway-after", 0, "closed", 1},
		{"status=502,sku=" + sku, 502, "a fault of the sandbox", 0},
		{"status=502,sku=other", 200, `"accepted":[{`, 1},
		{"status=403,on=write", 403, `"code":7`, 0},
		{"status=403,on=validate", 200, `"accepted":[{`, 1},
	} {
		f, err := ParseFault(row.fault)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t, Config{Faults: []Fault{f}})
		m.gone = strings.HasPrefix(row.fault, "hang")
		status, body := m.post(request(record()))
		if status != row.status || !strings.Contains(body, row.want) || len(m.Records()) != row.stored {
			t.Errorf("%s: %d %q, %d stored", row.fault, status, body, len(m.Records()))
		}
	}
	for _, row := range [][2]string{{"unknown-reason", "INVALID_PHASE_OF_MOON"}, {"numbers", `"reason":6`}} {
		f, err := ParseFault(row[0])
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t, Config{Faults: []Fault{f}})
		if _, body := m.post(request(record("quantity", "0"))); !strings.Contains(body, row[1]) {
			t.Error(row[0], body)
		}
	}
}

func TestWhenFaultsHappen(t *testing.T) {
	for _, row := range []struct{ fault, want string }{
		{"status=503", "FFFFFFFFFF"},
		{"status=503,every=3", "..F..F..F."},
		{"status=503,times=2", "FF........"},
		{"status=503,after=3s", "...FFFFFFF"},
		{"status=503,after=3s,for=2s", "...FF....."},
		{"status=503,after=1s,every=2,times=2", "..F.F....."},
		{"status=503,p=0.5", ""},
	} {
		f, err := ParseFault(row.fault)
		if err != nil {
			t.Fatal(err)
		}
		run := func() string {
			now := time.Unix(1e9, 0)
			m := newModel(t, Config{Seed: 7, Faults: []Fault{f}, Now: func() time.Time { return now }})
			got := ""
			for range 10 {
				if status, _ := m.post(strings.Replace(request(record()), "false", "true", 1)); status == 503 {
					got += "F"
				} else {
					got += "."
				}
				now = now.Add(time.Second)
			}
			return got
		}
		got := run()
		if row.want != "" && got != row.want {
			t.Errorf("%s: %s, want %s", row.fault, got, row.want)
		}
		if row.want == "" && (got != run() || !strings.Contains(got, "F") || !strings.Contains(got, ".")) {
			t.Errorf("%s: %s, then %s", row.fault, got, run())
		}
	}
}

func TestParseFaultRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "there are drop-before, ",
		"drop":                     "there are drop-before, ",
		"status":                   "needs a status",
		"status=200":               "needs a status",
		"status=x":                 "needs a status",
		"poison":                   "needs an SKU",
		"drop-after=3":             "takes no value",
		"drop-after,every=0":       "at least 1",
		"drop-after,p=0":           "above 0",
		"drop-after,p=NaN":         "above 0",
		"drop-after,for=soon":      "invalid duration",
		"drop-after,sometimes":     "unknown; there are sku=SKU",
		"drop-after,every=many":    "every",
		"drop-after,sku=":          "unknown; there are sku=SKU",
		"drop-after,on=monday":     "unknown; there are sku=SKU, on=write",
		"reset-before":             "needs an error code of HTTP/2: cancel, ",
		"reset-after=bad":          "needs an error code of HTTP/2",
		"goaway-before=cancel":     "takes no value",
		"date":                     "needs an offset",
		"date=yesterday":           "needs an offset",
		"drop-after,times=0":       "at least 1",
		"status=503,retry-after=x": "invalid duration",
		"status=503,after=x":       "invalid duration",
	} {
		if f, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
}

// With burn-rejected the model goes through its checks as the vendor's own
// server does: the SKU, then the uuid, which is registered, then the rest.
func TestBurnRejected(t *testing.T) {
	known := map[string][]string{product: {sku}}
	late, ahead := `"2024-09-16T10:00:00Z"`, `"2024-09-16T12:00:30Z"`
	for _, row := range []struct {
		name, record string
		first, then  string
	}{
		{"expired", record("timestamp", late), "EXPIRED", "DUPLICATE"},
		{"ahead", record("timestamp", ahead), "INVALID_TIMESTAMP", "DUPLICATE"},
		{"no quantity", record("quantity", "0"), "INVALID_QUANTITY", "DUPLICATE"},
		{"another SKU", record("skuId", `"other"`), "INVALID_SKU_ID", "INVALID_SKU_ID"},
	} {
		m := newModel(t, Config{Products: known, BurnRejected: true})
		validate := strings.Replace(request(row.record), "false", "true", 1)
		for _, step := range []struct{ body, want string }{
			{validate, row.first}, {request(row.record), row.first}, {request(row.record), row.then}, {validate, row.then},
		} {
			if _, body := m.post(step.body); !strings.Contains(body, `"reason":"`+step.want+`"`) {
				t.Errorf("%s: %s, want %s", row.name, body, step.want)
			}
		}
	}
	m := newModel(t, Config{Products: known, BurnRejected: true})
	m.post(request(record("skuId", `"other"`)))
	m.AddProducts(map[string][]string{product: {"other"}})
	if _, body := m.post(request(record("skuId", `"other"`))); !strings.Contains(body, `"rejected":[]`) {
		t.Errorf("a uuid whose SKU was wrong is registered: %s", body)
	}
	m = newModel(t, Config{Ahead: time.Minute, BurnRejected: true})
	if _, body := m.post(request(record("timestamp", ahead))); !strings.Contains(body, `"rejected":[]`) {
		t.Errorf("half a minute ahead of a clock that allows a minute: %s", body)
	}
}

// The faults of answers also reach rejected records.
func TestFaultsOfRejections(t *testing.T) {
	bad := request(record("quantity", "0"))
	for fault, want := range map[string]string{
		"omit":           `{"accepted":[],"rejected":[]}`,
		"upper":          strings.ToUpper(id),
		"unknown-reason": "INVALID_PHASE_OF_MOON",
		"twice":          `"INVALID_QUANTITY","uuid":"` + id + `"},{`,
	} {
		m := newModel(t, Config{})
		f, err := ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		m.SetFaults(f)
		if code, body := m.post(bad); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s; want %s", fault, code, body, want)
		}
	}
}

// TestFaultsOnThePage checks that the page of the sandbox names each fault.
func TestFaultsOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.NewReplacer("=N`", "`", "=SKU`", "`", "=CODE`", "`", "=OFFSET`", "`").Replace(string(page))
	for _, kind := range FaultKinds() {
		if !strings.Contains(rows, "`"+string(kind)+"`") {
			t.Errorf("docs/sandbox.md does not name %s", kind)
		}
	}
}
