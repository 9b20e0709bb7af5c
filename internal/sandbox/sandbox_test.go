package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	product = "f2e4tmlj4qqciunhr7e6"
	sku     = "dn272e8979uvek5cnuhk"
	id      = "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"
	noon    = "2024-09-16T12:00:00Z"
)

// model is a Sandbox at noon, with the clients' side of REST.
type model struct {
	*Sandbox
	t     *testing.T
	token string
	n     int
	gone  bool // requests end while they wait for an answer
}

func newModel(t *testing.T, cfg Config) *model {
	t.Helper()
	if cfg.Now == nil {
		now, err := time.Parse(time.RFC3339, noon)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Now = func() time.Time { return now }
	}
	s := New(cfg)
	return &model{Sandbox: s, t: t, token: s.Token()}
}

func (m *model) do(method, path, body string, header ...string) (int, http.Header, string) {
	m.t.Helper()
	r, err := http.NewRequest(method, "http://sandbox"+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if m.gone {
		ctx, cancel := context.WithCancel(m.t.Context())
		r = r.WithContext(ctx)
		r.Body = readThen{r.Body, cancel}
	}
	response, err := m.Transport().RoundTrip(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, response.Header, string(data) + " " + err.Error()
	}
	return response.StatusCode, response.Header, string(data)
}

// readThen calls done when its body was read.
type readThen struct {
	io.ReadCloser
	done func()
}

func (r readThen) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil {
		r.done()
	}
	return n, err
}

// post calls the write method and returns status and body.
func (m *model) post(body string) (int, string) {
	m.t.Helper()
	m.n++
	status, _, answer := m.do("POST", writePath, body, "Authorization", "Bearer "+m.token, "X-Client-Request-Id", fmt.Sprint(m.n))
	return status, answer
}

func record(fields ...string) string {
	r := map[string]any{"uuid": id, "skuId": sku, "quantity": "3", "timestamp": "2024-09-16T11:59:00Z"}
	for i := 0; i < len(fields); i += 2 {
		r[fields[i]] = json.RawMessage(fields[i+1])
		if fields[i+1] == "" {
			delete(r, fields[i])
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func request(records ...string) string {
	return `{"validateOnly":false,"productId":"` + product + `","usageRecords":[` + strings.Join(records, ",") + `]}`
}

func TestChecks(t *testing.T) {
	known := map[string][]string{product: {sku, "other"}}
	const accepted = `"accepted":[{"quantity":"3"`
	many := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = record("uuid", fmt.Sprintf(`"6da9b1a4-7a2e-4c7b-8f0e-%012d"`, i))
		}
		return request(list...)
	}
	for _, row := range []struct {
		name, body string
		status     int
		want       string
		stored     int
	}{
		{"good", request(record()), 200, accepted, 1},
		{"25", many(25), 200, `"rejected":[]`, 25},
		{"26", many(26), 400, "range 1-25", 0},
		{"none", request(), 400, "range 1-25", 0},
		{"quantity as a number", request(record("quantity", "3")), 200, accepted, 1},
		{"snake case", strings.NewReplacer("validateOnly", "validate_only", "productId", "product_id", "usageRecords", "usage_records", "skuId", "sku_id").Replace(request(record())), 200, accepted, 1},
		{"validate only", strings.Replace(request(record()), "false", "true", 1), 200, accepted, 0},
		{"no product", strings.Replace(request(record()), product, "", 1), 400, "product_id: Field is required", 0},
		{"long product", strings.Replace(request(record()), product, strings.Repeat("x", 51), 1), 400, "at most 50", 0},
		{"unknown product", strings.Replace(request(record()), product, "unknown", 1), 200, `"reason":"INVALID_PRODUCT_ID"`, 0},
		{"unknown SKU", request(record("skuId", `"unknown"`)), 200, `"reason":"INVALID_SKU_ID"`, 0},
		{"no SKU", request(record("skuId", "")), 400, "usage_records[0].sku_id: Field is required", 0},
		{"no uuid", request(record("uuid", "")), 400, "usage_records[0].uuid: Field is required", 0},
		{"long uuid", request(record("uuid", `"`+id+`0"`)), 400, "at most 36", 0},
		{"no UUID at all", request(record("uuid", `"seventeen"`)), 200, `"reason":"INVALID_ID"`, 0},
		{"quantity 0", request(record("quantity", "0")), 200, `"reason":"INVALID_QUANTITY"`, 0},
		{"no quantity", request(record("quantity", "")), 200, `"reason":"INVALID_QUANTITY"`, 0},
		{"quantity 1.5", request(record("quantity", "1.5")), 400, "int64", 0},
		{"no timestamp", request(record("timestamp", "")), 400, "timestamp: Field is required", 0},
		{"a strange timestamp", request(record("timestamp", `"noon"`)), 400, "RFC 3339", 0},
		{"now", request(record("timestamp", `"`+noon+`"`)), 200, accepted, 1},
		{"an hour ago", request(record("timestamp", `"2024-09-16T11:00:00Z"`)), 200, accepted, 1},
		{"over an hour ago", request(record("timestamp", `"2024-09-16T10:59:59Z"`)), 200, `"reason":"EXPIRED"`, 0},
		{"in the future", request(record("timestamp", `"2024-09-16T12:00:01Z"`)), 200, `"reason":"INVALID_TIMESTAMP"`, 0},
		{"twice in a request", request(record(), record("uuid", `"`+strings.ToUpper(id)+`"`)), 200, `"reason":"DUPLICATE"`, 1},
		{"twice in a request that validates", strings.Replace(request(record(), record()), "false", "true", 1), 200, `"reason":"DUPLICATE"`, 0},
		{"no JSON", "{", 400, "no JSON object", 0},
		{"a text for validate_only", strings.Replace(request(record()), "false", `"false"`, 1), 400, "validate_only: it must be a boolean", 0},
		{"a number for the product", strings.Replace(request(record()), `"`+product+`"`, "7", 1), 400, "product_id: ", 0},
		{"one record without a list", strings.NewReplacer("[", "", "]", "").Replace(request(record())), 400, "usage_records: it must be an array", 0},
		{"a number for the SKU", request(record("skuId", "7")), 400, "usage_records[0].sku_id: ", 0},
		{"long SKU", request(record("skuId", `"`+strings.Repeat("x", 51)+`"`)), 400, "sku_id: Field value must have at most 50", 0},
		{"long body", request(record()) + strings.Repeat(" ", maxRequest), 400, "the request cannot be read", 0},
		{"unknown field", strings.Replace(request(record()), "validateOnly", "validateonly", 1), 200, accepted, 1},
	} {
		m := newModel(t, Config{Products: known})
		status, body := m.post(row.body)
		if status != row.status || !strings.Contains(body, row.want) || len(m.Records()) != row.stored {
			t.Errorf("%s: %d %s, %d stored; want %d, %s, %d", row.name, status, body, len(m.Records()), row.status, row.want, row.stored)
		}
		if status != 200 && !strings.Contains(body, `"code":3`) && !strings.Contains(body, "google.rpc.RequestInfo") {
			t.Errorf("%s: error body %s", row.name, body)
		}
	}
}

func TestOrderOfChecks(t *testing.T) {
	stale := request(record("timestamp", `"2024-09-16T10:00:00Z"`))
	for _, row := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "DUPLICATE"},
		{Config{DuplicateLast: true}, "EXPIRED"},
	} {
		m := newModel(t, row.cfg)
		m.post(request(record()))
		if _, body := m.post(stale); !strings.Contains(body, row.want) {
			t.Errorf("%+v: %s", row.cfg, body)
		}
	}
	for _, burn := range []bool{false, true} {
		m := newModel(t, Config{BurnRejected: burn})
		m.post(stale)
		if _, body := m.post(stale); strings.Contains(body, "DUPLICATE") != burn {
			t.Errorf("burn %v: %s", burn, body)
		}
	}
	m := newModel(t, Config{MalformedFailsAll: true})
	if status, body := m.post(request(record(), record("uuid", `"seventeen"`))); status != 400 || len(m.Records()) != 0 {
		t.Error(status, body)
	}
	m = newModel(t, Config{RefuseUnknownNames: true})
	if status, body := m.post(strings.Replace(request(record()), `"skuId"`, `"note":1,"skuId"`, 1)); status != 400 || !strings.Contains(body, "note") {
		t.Error(status, body)
	}
}

func TestTokens(t *testing.T) {
	now := time.Now()
	m := newModel(t, Config{TokenLife: time.Minute, Now: func() time.Time { return now }})
	good := m.token
	for _, row := range []struct {
		token, want string
		after       time.Duration
	}{
		{good, "accepted", 0},
		{good, "accepted", 59 * time.Second},
		{good, "expired", 60 * time.Second},
		{"t1.made-up", "invalid", 0},
		{"", "required", 0},
	} {
		start := now
		now = now.Add(row.after)
		m.token = row.token
		status, body := m.post(strings.Replace(request(record("timestamp", `"`+now.UTC().Format(time.RFC3339)+`"`)), "false", "true", 1))
		if (status == 401) != (row.want != "accepted") || !strings.Contains(body, row.want) {
			t.Errorf("%q after %v: %d %s", row.token, row.after, status, body)
		}
		now = start
	}
	if m.Stats().Unauthorized != 3 {
		t.Errorf("%+v", m.Stats())
	}
}

func TestMetadata(t *testing.T) {
	m := newModel(t, Config{InstanceID: "instance-1"})
	if status, _, _ := m.do("GET", metadataPath+"id", ""); status != 403 {
		t.Error("without Metadata-Flavor:", status)
	}
	if _, _, body := m.do("GET", metadataPath+"id", "", "Metadata-Flavor", "Google"); body != "instance-1" {
		t.Error(body)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Type    string `json:"token_type"`
	}
	_, _, body := m.do("GET", metadataPath+"service-accounts/default/token", "", "Metadata-Flavor", "Google")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Expires != 12*3600 || answer.Type != "Bearer" {
		t.Error(body, err)
	}
	m.token = answer.Token
	if status, body := m.post(request(record())); status != 200 {
		t.Error(status, body)
	}
	if status, _, _ := m.do("GET", metadataPath+"name", "", "Metadata-Flavor", "Google"); status != 404 {
		t.Error(status)
	}
}

func TestExchange(t *testing.T) {
	now, err := time.Parse(time.RFC3339, noon)
	if err != nil {
		t.Fatal(err)
	}
	part := func(value any) string {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	type object map[string]any
	jwt := func(header, claims object) string {
		h := object{"alg": "PS256", "kid": "key", "typ": "JWT"}
		c := object{"iss": "account", "aud": jwtAudience, "iat": now.Unix(), "exp": now.Unix() + 3600}
		maps.Copy(h, header)
		maps.Copy(c, claims)
		return part(h) + "." + part(c) + "." + part("signature")
	}
	for _, row := range []struct{ jwt, want string }{
		{jwt(nil, nil), `"iamToken":"t1.`},
		{jwt(nil, object{"aud": []string{"https://elsewhere", jwtAudience}}), `"iamToken":"t1.`},
		{jwt(nil, object{"aud": []string{"https://elsewhere"}}), "aud"},
		{jwt(nil, object{"aud": 7}), "cannot be read"},
		{jwt(object{"alg": "RS256"}, nil), "PS256"},
		{jwt(object{"kid": ""}, nil), "kid"},
		{jwt(nil, object{"iss": ""}), "iss"},
		{jwt(nil, object{"aud": "https://elsewhere"}), "aud"},
		{jwt(nil, object{"exp": now.Unix() + 3601}), "an hour"},
		{jwt(nil, object{"iat": now.Unix() + 10}), "future"},
		{jwt(nil, object{"iat": now.Unix() - 3600, "exp": now.Unix()}), "expired"},
		{"a.b", "three parts"},
		{"a.b.c", "cannot be read"},
		{"", "Field is required"},
	} {
		m := newModel(t, Config{})
		if _, _, body := m.do("POST", exchangePath, `{"jwt":"`+row.jwt+`"}`); !strings.Contains(body, row.want) {
			t.Errorf("%s; want %s", body, row.want)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]string{"key": "signature does not hold", "other": "unknown key"} {
		m := newModel(t, Config{Keys: map[string]*rsa.PublicKey{kid: &key.PublicKey}})
		if _, _, body := m.do("POST", exchangePath, `{"jwt":"`+jwt(nil, nil)+`"}`); !strings.Contains(body, want) {
			t.Errorf("%s; want %s", body, want)
		}
	}
	m := newModel(t, Config{Faults: []Fault{{Kind: FaultToken, Status: 503}}})
	if status, _, body := m.do("POST", exchangePath, `{"jwt":"x"}`); status != 503 {
		t.Error(status, body)
	}
}

// TestMain keeps tests on this machine.
func TestMain(m *testing.M) {
	http.DefaultTransport = &http.Transport{DialContext: (&net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if host, _, _ := net.SplitHostPort(address); !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("a test dials %s", address)
		}
		return nil
	}}).DialContext}
	os.Exit(m.Run())
}

func FuzzRequest(f *testing.F) {
	f.Add(request(record()))
	f.Add(`{"usage_records":[{"uuid":1}]}`)
	f.Add(`{"validate_only":null,"product_id":"p","usage_records":[null,{}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		m := newModel(t, Config{})
		status, answer := m.post(body)
		if !json.Valid([]byte(answer)) || status != 200 && status != 400 {
			t.Errorf("%d %s", status, answer)
		}
		if len(m.Records()) > 0 && status != 200 {
			t.Errorf("stored with %d", status)
		}
	})
}

func TestClientsFaultsAreNoted(t *testing.T) {
	m := newModel(t, Config{})
	m.post(request(record()))
	m.post(request(record()))
	if len(m.Conflicts())+len(m.Violations()) != 0 {
		t.Fatal(m.Conflicts(), m.Violations())
	}
	m.post(request(record("quantity", "4")))
	m.post(strings.Replace(request(record("skuId", `"other"`)), "false", "true", 1))
	if n := len(m.Conflicts()); n != 2 {
		t.Error(m.Conflicts())
	}
	m.post(strings.Replace(request(record()), `"validateOnly":false,`, `"validateonly":true,`, 1))
	m.n--
	m.post(request())
	m.do("POST", writePath, "{}")
	got := strings.Join(m.Violations(), "; ")
	for _, want := range []string{"validate_only left out", "unknown fields: validateonly", "request-id twice", "a request of 0 records", "without x-client-request-id", "without a token"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

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

func TestAcceptedIsCalledInOrder(t *testing.T) {
	var called []Stored
	m := newModel(t, Config{Accepted: func(r Stored) { called = append(called, r) }})
	m.post(request(record(), record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000001"`)))
	m.post(strings.Replace(request(record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000002"`)), "false", "true", 1))
	if len(called) != 2 || !slices.Equal(called, m.Records()) {
		t.Error(called)
	}
}

// A request that hangs ends with the server.
func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{AnyToken: true, Faults: []Fault{{Kind: FaultHangBefore}}})
	url, wait, err := s.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.Get(url); err != nil || response.StatusCode != 200 {
		t.Fatal(err)
	} else {
		response.Body.Close()
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+writePath, strings.NewReader(request(record())))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer x")
	answered := make(chan error)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	for s.Stats().Faults == 0 {
		if r.Context().Err() != nil {
			t.Fatal("the request never came")
		}
	}
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("a request that hangs was answered")
	}
}

func TestDates(t *testing.T) {
	for value, want := range map[string]string{
		"-2h": "Mon, 16 Sep 2024 10:00:00 GMT", "1s": "Mon, 16 Sep 2024 12:00:01 GMT",
		"epoch": "Thu, 01 Jan 1970 00:00:00 GMT", "nonsense": "the day before yesterday", "none": "",
	} {
		for _, other := range []string{"", "status=502", "html"} {
			var faults []Fault
			for _, text := range []string{"date=" + value, other} {
				if f, err := ParseFault(text); err == nil {
					faults = append(faults, f)
				}
			}
			m := newModel(t, Config{Faults: faults})
			_, header, _ := m.do("POST", writePath, request(record()), "Authorization", "Bearer "+m.token)
			if got := header.Get("Date"); got != want {
				t.Errorf("date=%s with %q: %q, want %q", value, other, got, want)
			}
		}
	}
	if n := len(FaultKinds()); n != len(faultKinds) || n < 30 {
		t.Errorf("%d kinds of faults", n)
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
		t.Errorf("half a minute ahead of a clock that bears a minute: %s", body)
	}
}

func TestStaticTokens(t *testing.T) {
	now := time.Now()
	m := newModel(t, Config{Tokens: []string{"one", "two"}, Now: func() time.Time { return now }})
	body := strings.Replace(request(record()), "false", "true", 1)
	for _, after := range []time.Duration{0, 1000 * time.Hour} {
		now = now.Add(after)
		for token, want := range map[string]int{"one": 200, "two": 200, "three": 401} {
			m.token = token
			if status, answer := m.post(body); status != want {
				t.Errorf("%s after %v: %d %s", token, after, status, answer)
			}
		}
	}
	m.Revoke()
	m.token = "one"
	if status, _ := m.post(body); status != 200 {
		t.Error("a token that is good for ever was revoked")
	}
}

func TestRevoke(t *testing.T) {
	m := newModel(t, Config{})
	m.Revoke()
	if status, body := m.post(request(record())); status != 401 {
		t.Error(status, body)
	}
}

func TestAddProducts(t *testing.T) {
	m := newModel(t, Config{Products: map[string][]string{product: {"other"}}})
	m.AddProducts(map[string][]string{product: {sku}, "p2": {"s2"}})
	if _, body := m.post(request(record())); !strings.Contains(body, `"rejected":[]`) {
		t.Error(body)
	}
	m = newModel(t, Config{})
	m.AddProducts(map[string][]string{"p2": {"s2"}})
	if _, body := m.post(request(record())); !strings.Contains(body, `"rejected":[]`) {
		t.Errorf("a model that takes any product takes them no more: %s", body)
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

func TestReadKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(&elliptic.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := func(der []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) }
	file := filepath.Join(t.TempDir(), "key.json")
	for _, row := range []struct {
		content any
		want    string // of the error
	}{
		{map[string]string{"id": "k", "public_key": text(der)}, ""},
		{map[string]string{"id": "k", "publicKey": text(der)}, ""},
		{map[string]string{"public_key": text(der)}, "no authorized key"},
		{"a text", "no authorized key"},
		{map[string]string{"id": "k"}, "no PEM"},
		{map[string]string{"id": "k", "public_key": text([]byte("x"))}, "public_key"},
		{map[string]string{"id": "k", "public_key": text(other)}, "no RSA key"},
	} {
		data, err := json.Marshal(row.content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		id, got, err := ReadKey(file)
		if row.want == "" && (err != nil || id != "k" || !got.Equal(&key.PublicKey)) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%v: %s, %v; want %q", row.content, id, err, row.want)
		}
	}
	if _, _, err := ReadKey(file + ".none"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestServeTellsWhyItCannot(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := New(Config{}).Serve(t.Context(), ln); err == nil || !strings.HasPrefix(err.Error(), "sandbox: ") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := New(Config{}).Start(ctx); err == nil {
		t.Error("it starts after the end")
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "http://sandbox/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}).Transport().RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestGRPCIsSpokenOverHTTP2(t *testing.T) {
	m := newModel(t, Config{})
	for _, path := range []string{"/yandex.cloud.marketplace.metering.v1.ImageProductUsageService/Write", "/yandex.cloud.marketplace.v1.metering.ImageProductUsageService/Write"} {
		if status, _, body := m.do("POST", path, "", "Content-Type", "application/grpc"); status != 415 {
			t.Error(path, status, body)
		}
	}
}
