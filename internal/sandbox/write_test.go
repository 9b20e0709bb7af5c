package sandbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

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

func TestAcceptedIsCalledInOrder(t *testing.T) {
	var called []Stored
	m := newModel(t, Config{Accepted: func(r Stored) { called = append(called, r) }})
	m.post(request(record(), record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000001"`)))
	m.post(strings.Replace(request(record("uuid", `"6da9b1a4-7a2e-4c7b-8f0e-000000000002"`)), "false", "true", 1))
	if len(called) != 2 || !slices.Equal(called, m.Records()) {
		t.Error(called)
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

// A client may speak TLS or plain text, HTTP/1.1 or HTTP/2, and either package;
// what the documentation shows is no mistake.
func TestDocumentedRequests(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	n := 0
	for _, host := range []string{"https://marketplace.api.cloud.yandex.net", "https://localhost", "https://sandbox.example", "http://localhost"} {
		for _, path := range []string{writePath, oldWritePath} {
			for _, two := range []bool{false, true} {
				n++
				if status, body, err := s.write(s.client(t, two), host+path, uuid.NewString()); err != nil || status != 200 || !strings.Contains(body, `"rejected":[]`) {
					t.Errorf("%s%s, HTTP/2 %v: %d %s, %v", host, path, two, status, body, err)
				}
			}
		}
	}
	if got := len(s.Records()); got != n {
		t.Errorf("%d records are stored, want %d", got, n)
	}
	if problems := append(s.Violations(), s.Conflicts()...); len(problems) > 0 {
		t.Error(problems)
	}
	if _, _, err := s.write(s.client(t, true), "https://elsewhere.example"+writePath, uuid.NewString()); err == nil {
		t.Error("the certificate is good for any host")
	}
}

func TestMalformedFailsAll(t *testing.T) {
	for want, bad := range map[string]string{
		"usage_records[1].uuid: Field value must be a UUID":             record("uuid", `"seventeen"`),
		"usage_records[1].quantity: Field value must be greater than 0": record("quantity", "0"),
	} {
		m := newModel(t, Config{MalformedFailsAll: true})
		if code, body := m.post(request(record(), bad)); code != 400 || !strings.Contains(body, want) || len(m.Records()) != 0 {
			t.Errorf("%d %s, %d stored; want %s", code, body, len(m.Records()), want)
		}
	}
}

// With DuplicateLast a uuid that is taken is refused for every other reason first.
func TestDuplicateLast(t *testing.T) {
	m := newModel(t, Config{DuplicateLast: true})
	m.post(request(record()))
	for reason, again := range map[string]string{"DUPLICATE": record(), "INVALID_QUANTITY": record("quantity", "0"), "EXPIRED": record("timestamp", `"2024-09-16T10:00:00Z"`)} {
		if code, body := m.post(request(again)); code != 200 || !strings.Contains(body, `"reason":"`+reason+`"`) {
			t.Errorf("%d %s; want %s", code, body, reason)
		}
	}
}
