package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/grpc/codes"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

// both runs a test over either transport, with the time at its disposal.
func both(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, transport) })
		})
	}
}

func TestAcceptedOnce(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Products: map[string][]string{demoProduct: {demoSKU}}})
		s := connect(t, transport, box, Config{UserAgent: "meterlog/test"})
		list := records(meter.MaxRecords)
		results, err := s.Send(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if want := (meter.Result{UUID: list[i].UUID, State: meter.Accepted}); r != want {
				t.Errorf("result %d: %+v, want %+v", i, r, want)
			}
		}
		stored := box.Records()
		if len(stored) != len(list) {
			t.Fatalf("%d stored, want %d", len(stored), len(list))
		}
		for i, r := range stored {
			if r.UUID != list[i].UUID || r.ProductID != demoProduct || r.SKU != demoSKU || r.Quantity != list[i].Quantity || !r.Timestamp.Equal(list[i].Timestamp) {
				t.Errorf("stored %+v of %+v", r, list[i])
			}
		}
	})
}

func TestValidateStoresNothing(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{})
		dry := connect(t, transport, box, Config{ValidateOnly: true})
		real := connect(t, transport, box, Config{})
		list := records(2)
		for _, send := range []func(context.Context, []meter.Record) ([]meter.Result, error){dry.Send, real.Validate} {
			results, err := send(t.Context(), list)
			if err != nil || results[0].State != meter.Accepted || results[1].State != meter.Accepted {
				t.Fatal(results, err)
			}
		}
		if n := len(box.Records()); n != 0 {
			t.Fatalf("%d stored", n)
		}
		if results, err := real.Send(t.Context(), list); err != nil || results[0].State != meter.Accepted {
			t.Fatal(results, err)
		}
		list[0].Attempts = 1
		results, _ := dry.Send(t.Context(), list)
		if results[0].State != meter.Refused || results[0].Reason != duplicate || results[0].MaybeStored {
			t.Errorf("a duplicate, validated: %+v", results[0])
		}
	})
}

func TestNothingOfAValidationMayBeStored(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{})
		s := connect(t, transport, box, Config{ValidateOnly: true})
		for _, kind := range []sandbox.FaultKind{sandbox.FaultDropAfter, sandbox.FaultGarbage, sandbox.FaultHangAfter, sandbox.FaultOmit} {
			box.SetFaults(sandbox.Fault{Kind: kind})
			results, _ := s.Send(t.Context(), records(1))
			if results[0].State != meter.Sealed || results[0].MaybeStored {
				t.Errorf("%s: %+v", kind, results[0])
			}
		}
	})
}

// The rows of both tables: what a status means for a batch of records.
type fate struct {
	kind        Kind
	maybeStored bool
}

var (
	wait     = fate{Retry, false}
	lost     = fate{Retry, true}
	loud     = fate{NeedsOperator, false}
	loudLost = fate{NeedsOperator, true}
)

func TestFateOfEveryHTTPStatus(t *testing.T) {
	special := map[int]fate{
		401: wait, 403: loud, 404: loud, 408: lost, 409: lost, 425: wait, 429: wait, 499: lost, 501: loud,
	}
	for status := 300; status <= 599; status++ {
		want, ok := special[status]
		if !ok {
			want = map[int]fate{3: loudLost, 4: loud, 5: lost}[status/100]
		}
		requests := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			requests++
			return response(status, `{"code":2,"message":"told so"}`, "Location", "http://127.0.0.1/elsewhere", "X-Request-Id", "req-1", "X-Server-Trace-Id", "trace-1"), nil
		})
		list := records(1)
		results, err := s.Send(t.Context(), list)
		checkFate(t, fmt.Sprint(status), results, err, want)
		e := err.(*Error)
		if e.Status != status || e.RequestID != "req-1" || e.TraceID != "trace-1" || e.ClientID == "" || !strings.Contains(e.Error(), "told so") {
			t.Errorf("%d: %+v", status, e)
		}
		if requests != 1 {
			t.Errorf("%d: %d requests", status, requests)
		}
	}
}

// A transport that does not return when its request is given up holds up no delivery.
func TestTransportThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s := answering(t, func(*http.Request) (*http.Response, error) {
			<-ended
			return nil, errors.New("too late")
		})
		start := time.Now()
		results, err := s.Send(t.Context(), records(1))
		checkFate(t, "no return", results, err, lost)
		if took := time.Since(start); took > 30*time.Second+graceful {
			t.Errorf("it takes %v", took)
		}
		close(ended)
		synctest.Wait()
	})
}

// An answer that switches protocols has no body that ends. It holds up no delivery.
func TestAnswerThatSwitchesProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newMemory()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { conn.Close() })
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		})}
		go server.Serve(ln)
		defer server.Close()
		s := must(New(Config{Endpoint: "http://127.0.0.1", Tokens: fixedToken("t"), Dial: ln.dial, Log: quiet}))
		defer s.Close()
		results, err := s.Send(t.Context(), records(1))
		checkFate(t, "101", results, err, loudLost)
		if e := err.(*Error); e.Status != http.StatusSwitchingProtocols {
			t.Errorf("status %d, want 101", e.Status)
		}
	})
}

func TestFateOfEveryGRPCCode(t *testing.T) {
	table := map[codes.Code]struct {
		fate
		status int
	}{
		codes.Canceled:           {lost, 499},
		codes.Unknown:            {lost, 500},
		codes.InvalidArgument:    {loud, 400},
		codes.DeadlineExceeded:   {lost, 504},
		codes.NotFound:           {loud, 404},
		codes.AlreadyExists:      {lost, 409},
		codes.PermissionDenied:   {loud, 403},
		codes.ResourceExhausted:  {wait, 429},
		codes.FailedPrecondition: {loud, 400},
		codes.Aborted:            {lost, 409},
		codes.OutOfRange:         {loud, 400},
		codes.Unimplemented:      {loud, 501},
		codes.Internal:           {lost, 500},
		codes.Unavailable:        {lost, 503},
		codes.DataLoss:           {lost, 500},
		codes.Unauthenticated:    {wait, 401},
		codes.Code(17):           {lost, 500},
	}
	for code := codes.Code(1); code <= 17; code++ {
		synctest.Test(t, func(t *testing.T) {
			want := table[code]
			ln := newMemory()
			server := serveGRPC(ln, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", fmt.Sprint(int(code)))
				w.Header().Set("Grpc-Message", "told so")
				w.Header().Set("X-Request-Id", "req-1")
			})
			defer server.Close()
			s := must(New(Config{Endpoint: "http://127.0.0.1", Transport: GRPC, Tokens: fixedToken("t"), Dial: ln.dial, Log: quiet}))
			defer s.Close()
			results, err := s.Send(t.Context(), records(1))
			checkFate(t, code.String(), results, err, want.fate)
			if e := err.(*Error); e.Status != want.status || e.RequestID != "req-1" || !strings.Contains(e.Error(), "told so") {
				t.Errorf("%v: %+v", code, e)
			}
		})
	}
}

func serveGRPC(ln *memory, handler http.HandlerFunc) *http.Server {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: &protocols}
	go server.Serve(ln)
	return server
}

func checkFate(t *testing.T, name string, results []meter.Result, err error, want fate) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: no error", name)
	}
	for _, r := range results {
		if r.State != meter.Sealed || r.MaybeStored != want.maybeStored || r.Reason == "" || r.Reissue {
			t.Errorf("%s: %+v, want Sealed, MaybeStored %v, and why", name, r, want.maybeStored)
		}
	}
	if e.Kind != want.kind {
		t.Errorf("%s: kind %v, want %v", name, e.Kind, want.kind)
	}
}

// What never reached a connection was not stored; what did may have been.
func TestFateOfConnections(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		refused := newMemory()
		refused.Close()
		s := must(New(Config{Endpoint: "http://127.0.0.1", Transport: transport, Tokens: fixedToken("t"), Dial: refused.dial, Log: quiet}))
		results, err := s.Send(t.Context(), records(2))
		checkFate(t, "refused", results, err, wait)
		s.Close()

		box := sandbox.New(sandbox.Config{})
		s = connect(t, transport, box, Config{Timeout: 7 * time.Second})
		for _, kind := range []sandbox.FaultKind{
			sandbox.FaultDropBefore, sandbox.FaultDropAfter, sandbox.FaultHangBefore, sandbox.FaultHangAfter,
			sandbox.FaultGarbage, sandbox.FaultTruncate, sandbox.FaultHTML, sandbox.FaultEmpty, sandbox.FaultHuge,
		} {
			box.SetFaults(sandbox.Fault{Kind: kind})
			start := time.Now()
			results, err := s.Send(t.Context(), records(2))
			checkFate(t, string(kind), results, err, lost)
			if kind == sandbox.FaultHangAfter && (time.Since(start) != 7*time.Second || !errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("hung for %v: %v", time.Since(start), err)
			}
			// The next delivery works as usual, and finds what was stored.
			box.SetFaults()
			list := again(records(0), nil)
			for _, r := range box.Records() {
				list = append(list, meter.Record{
					UUID: r.UUID, ProductID: r.ProductID, SKU: r.SKU, Quantity: r.Quantity,
					Timestamp: r.Timestamp, Attempts: 1, MaybeStored: true,
				})
			}
			if len(list) == 0 {
				continue
			}
			results, err = s.Send(t.Context(), list)
			if err != nil || results[0].State != meter.Accepted {
				t.Errorf("after %s: %+v %v", kind, results, err)
			}
		}
	})
}

// A connection on which an answer did not come, or that could not be opened,
// is not waited for by the next delivery.
func TestNextDeliveryDialsAnew(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultHangBefore, Times: 1}}})
		ln := newMemory()
		server := make(chan error)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { server <- box.Serve(ctx, ln) }()
		dials, down := 0, false
		dial := func(ctx context.Context, address string) (net.Conn, error) {
			dials++
			if down {
				return nil, syscall.ENETUNREACH
			}
			return ln.dial(ctx, address)
		}
		s := must(New(Config{Endpoint: "http://127.0.0.1", Transport: transport, Tokens: fixedToken(box.Token()), Dial: dial, Log: quiet}))
		if _, err := s.Send(t.Context(), records(1)); err == nil || dials != 1 {
			t.Errorf("%d dials, %v", dials, err)
		}
		start := time.Now()
		if _, err := s.Send(t.Context(), records(1)); err != nil || dials != 2 {
			t.Errorf("after no answer: %d dials, %v", dials, err)
		}
		time.Sleep(time.Minute) // an idle connection is not kept for long
		down = true
		for range 5 {
			if _, err := s.Send(t.Context(), records(1)); err == nil {
				t.Error("a delivery over a network that is down")
			}
		}
		down = false
		if _, err := s.Send(t.Context(), records(1)); err != nil || time.Since(start) != time.Minute {
			t.Errorf("after the network is back: %v, %v", err, time.Since(start))
		}
		s.Close()
		cancel()
		if err := <-server; err != nil {
			t.Error(err)
		}
	})
}

func TestRecordInUpperCase(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		list := records(1)
		list[0].UUID = strings.ToUpper(list[0].UUID)
		s := connect(t, transport, sandbox.New(sandbox.Config{}), Config{})
		if results, err := s.Send(t.Context(), list); err != nil || results[0] != (meter.Result{UUID: list[0].UUID, State: meter.Accepted}) {
			t.Errorf("%+v %v", results, err)
		}
	})
}

func TestCancelledDeliveryReturnsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultHangAfter}}})
		s := connect(t, transport, box, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		results, err := s.Send(ctx, records(3))
		checkFate(t, "cancelled", results, err, lost)
		if time.Since(start) != time.Second {
			t.Errorf("it took %v", time.Since(start))
		}
		results, err = s.Send(ctx, records(3))
		checkFate(t, "cancelled before", results, err, wait)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestRequestAsDocumented(t *testing.T) {
	var got *http.Request
	var body string
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(r.Body)
		got, body = r, string(data)
		return response(200, `{}`), err
	})
	r := meter.Record{
		UUID: "6DA9B1A4-7A2E-4C7B-8F0E-1E2D3C4B5A69", ProductID: demoProduct, SKU: demoSKU, Quantity: 1<<63 - 1,
		Timestamp: time.Unix(1726513260, 0),
	}
	s.Send(t.Context(), []meter.Record{r})
	s.validateOnly = true
	plain := body
	s.Send(t.Context(), []meter.Record{r})
	const want = `{"validateOnly":%v,"productId":"f2e4tmlj4qqciunhr7e6","usageRecords":[{"uuid":"6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69","skuId":"dn272e8979uvek5cnuhk","quantity":"9223372036854775807","timestamp":"2024-09-16T19:01:00Z"}]}`
	if plain != fmt.Sprintf(want, false) || body != fmt.Sprintf(want, true) {
		t.Errorf("bodies\n%s\n%s", plain, body)
	}
	if got.Method != "POST" || got.URL.Path != "/marketplace/metering/v1/imageProductUsage/write" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json", "Authorization": "Bearer t1.the-secret-token", "User-Agent": "meterlog",
	} {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q", name, got.Header.Get(name))
		}
	}
}

// body returns the body of an answer in testdata/answers.txtar.
func body(t *testing.T, name string) string {
	t.Helper()
	archive := must(txtar.ParseFile("testdata/answers.txtar"))
	for _, file := range archive.Files {
		if file.Name == name {
			return string(file.Data)
		}
	}
	t.Fatalf("there is no answer %s", name)
	return ""
}

// The documentation's own samples, and the shapes its gateway may give them.
func TestDocumentedSamples(t *testing.T) {
	const id = "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"
	refused := func(reason string) meter.Result {
		return meter.Result{UUID: id, State: meter.Refused, Reason: reason}
	}
	accepted := meter.Result{UUID: id, State: meter.Accepted}
	for _, sample := range []struct {
		file string
		want meter.Result
	}{
		{"accepted.json", accepted},
		{"accepted-short.json", accepted},
		{"accepted-snake.json", accepted},
		{"accepted-upper.json", accepted},
		{"accepted-no-rejected.json", accepted},
		{"accepted-unknown-fields.json", accepted},
		{"rejected-duplicate.json", refused("DUPLICATE")},
		{"rejected-expired.json", meter.Result{UUID: id, State: meter.Expired, Reason: "EXPIRED"}},
		{"rejected-timestamp.json", meter.Result{UUID: id, State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true}},
		{"rejected-sku.json", refused("INVALID_SKU_ID")},
		{"rejected-product-number.json", refused("INVALID_PRODUCT_ID")},
		{"rejected-unspecified.json", refused("REASON_UNSPECIFIED")},
		{"rejected-unknown-reason.json", refused("SUBSCRIPTION_LAPSED")},
		{"rejected-unknown-number.json", refused("42")},
	} {
		text := body(t, sample.file)
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(200, text), nil })
		list := records(1)
		list[0].UUID = id
		results, err := s.Send(t.Context(), list)
		if err != nil || results[0] != sample.want {
			t.Errorf("%s: %+v, %v; want %+v", sample.file, results[0], err, sample.want)
		}
	}
}

func TestDocumentedErrorBodies(t *testing.T) {
	for _, sample := range []struct {
		file      string
		status    int
		requestID string
		message   string
	}{
		{"error-unauthenticated.json", 401, "0a6ee447-4ca8-4c4b-9d3c-6a2f6b4f9c57", "The token is invalid"},
		{"error-forbidden.json", 403, "", "Permission denied"},
		{"error-unknown-details.json", 400, "5f0b", "Request validation error"},
		{"error.html", 502, "", "502 Bad Gateway nginx"},
		{"error.txt", 503, "", "upstream connect error"},
		{"error-empty.txt", 500, "", "500 Internal Server Error"},
	} {
		text := body(t, sample.file)
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(sample.status, text), nil })
		_, err := s.Send(t.Context(), records(1))
		e := err.(*Error)
		if e.RequestID != sample.requestID || !strings.Contains(e.Error(), sample.message) || strings.Contains(e.Error(), "<") {
			t.Errorf("%s: %v (%+v)", sample.file, e, e)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 1.5 ":                         1500 * time.Millisecond,
		"-3":                            0,
		"86400":                         time.Minute,
		"1e300":                         time.Minute,
		"NaN":                           time.Minute,
		"Mon, 16 Sep 2024 19:01:20 GMT": 20 * time.Second,
		"Mon, 16 Sep 2024 23:01:20 GMT": time.Minute,
		"Mon, 16 Sep 2024 18:01:20 GMT": 0,
		"soon":                          0,
	} {
		for _, status := range []int{429, 503} {
			s := answering(t, func(*http.Request) (*http.Response, error) {
				return response(status, "", "Retry-After", value, "Date", "Mon, 16 Sep 2024 19:01:00 GMT"), nil
			})
			_, err := s.Send(t.Context(), records(1))
			if got := err.(*Error).RetryAfter; got != want {
				t.Errorf("%d, Retry-After %q: %v, want %v", status, value, got, want)
			}
		}
	}
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 429, RetryAfter: 11 * time.Second}}})
		_, err := connect(t, transport, box, Config{}).Send(t.Context(), records(1))
		if e := err.(*Error); e.RetryAfter != 11*time.Second || e.RequestID == "" {
			t.Errorf("%+v", e)
		}
	})
}

// A batch with records that the API will not read: all the others go through at
// once, and these are refused with its message when it insists.
func TestBadRecordsAreParted(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		for _, bad := range [][]int{{0}, {24}, {7, 8}, {0, 3, 11, 24}} {
			box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultPoison, SKU: "poison"}}})
			s := connect(t, transport, box, Config{})
			list := records(meter.MaxRecords)
			for _, i := range bad {
				list[i].SKU = "poison"
			}
			results, err := s.Send(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				want := meter.Result{UUID: list[i].UUID, State: meter.Accepted}
				if list[i].SKU == "poison" {
					want.State = meter.Sealed
				}
				if r.Reason = ""; r != want {
					t.Errorf("bad %v: result %d: %+v", bad, i, r)
				}
			}
			if n := len(box.Records()); n != len(list)-len(bad) {
				t.Errorf("%d stored", n)
			}
			for n := 2; n <= enoughStrikes+2; n++ {
				if n >= enoughStrikes { // without answers to others nothing is refused
					if results, err := s.Send(t.Context(), records(1)); err != nil || results[0].State != meter.Accepted {
						t.Fatalf("%+v %v", results, err)
					}
				}
				list = again(list, results)
				results, err = s.Send(t.Context(), list)
				want := meter.Result{UUID: list[0].UUID, State: meter.Refused, Reason: "usage_records: Field value is invalid"}
				if n < enoughStrikes+1 {
					want = meter.Result{UUID: list[0].UUID, State: meter.Sealed, Reason: results[0].Reason}
				}
				if err != nil || len(list) != len(bad) || results[0] != want {
					t.Errorf("bad %v: delivery %d: %+v %v, want %+v", bad, n, results, err, want)
				}
				if results[0].State == meter.Refused {
					break
				}
			}
		}
	})
}

// An API that answers everything with 400 for a while costs no record, although other
// requests are answered when that begins and when it ends.
func TestOutageOf400(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{})
		s := connect(t, transport, box, Config{})
		other := func() {
			box.SetFaults()
			if results, err := s.Send(t.Context(), records(1)); err != nil || results[0].State != meter.Accepted {
				t.Fatalf("%+v %v", results, err)
			}
			box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 400})
		}
		box.SetFaults(sandbox.Fault{Kind: sandbox.FaultStatus, Status: 400})
		list := records(1)
		for n := range 4 * enoughStrikes {
			if n == 1 || n == 4*enoughStrikes-1 {
				other()
			}
			if results, _ := s.Send(t.Context(), list); results[0].State != meter.Sealed {
				t.Fatalf("delivery %d: %+v", n, results)
			}
		}
		box.SetFaults()
		if results, err := s.Send(t.Context(), list); err != nil || results[0].State != meter.Accepted {
			t.Errorf("%+v %v", results, err)
		}
	})
}

// A 400 that passes by itself costs no record, whether it comes to a batch or
// to a record alone.
func TestPassing400(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		for every := 2; every <= 4; every++ {
			box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 400, Every: every}}})
			s := connect(t, transport, box, Config{})
			used := 0
			for range 20 {
				list := records(3)
				used += len(list)
				for n := 0; len(list) > 0; n++ {
					if n > enoughStrikes {
						t.Fatalf("every %d: %+v is still unsettled", every, list)
					}
					results, _ := s.Send(t.Context(), list)
					for _, r := range results {
						if r.State != meter.Accepted && r.State != meter.Sealed {
							t.Fatalf("every %d: %+v", every, r)
						}
					}
					list = again(list, results)
				}
			}
			if n := len(box.Records()); n != used {
				t.Errorf("every %d: %d stored, want %d", every, n, used)
			}
		}
	})
}

// Where every record is answered 400 the fault may be anybody's: nothing is
// refused, whoever says so.
func TestAllBad(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 400}}})
		s := connect(t, transport, box, Config{})
		list := records(4)
		for range 3 * enoughStrikes {
			results, err := s.Send(t.Context(), list)
			checkFate(t, "all bad", results, err, loud)
		}
		box.SetFaults()
		if results, err := s.Send(t.Context(), list); err != nil || results[0].State != meter.Accepted {
			t.Errorf("%+v %v", results, err)
		}
	})
	s := answering(t, func(*http.Request) (*http.Response, error) { return response(400, "<html>Bad request</html>"), nil })
	list := records(4)
	for range 3 * enoughStrikes {
		results, err := s.Send(t.Context(), list)
		checkFate(t, "a proxy", results, err, loud)
	}
}

// A record for which nobody has anything but 400 is given up when the hour is
// over, and what may have been stored a day later: by the API's clock, as far as
// it can be known.
func TestAlwaysBad(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		for _, row := range []struct {
			maybeStored bool
			age         time.Duration
			skew        time.Duration
			want        meter.State
		}{
			{false, 69 * time.Minute, 0, meter.Sealed},
			{false, 71 * time.Minute, 0, meter.Expired},
			{false, 71 * time.Minute, -3 * time.Minute, meter.Sealed},
			{false, 69 * time.Minute, 3 * time.Minute, meter.Expired},
			{true, 71 * time.Minute, 0, meter.Sealed},
			{true, 23 * time.Hour, 0, meter.Sealed},
			{true, 25 * time.Hour, 0, meter.InDoubt},
		} {
			box := sandbox.New(sandbox.Config{Skew: row.skew, Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 400}}})
			s := connect(t, transport, box, Config{})
			s.clock.observe(time.Now().Add(row.skew), time.Now(), time.Now())
			list := records(2)
			for i := range list {
				list[i].Timestamp = time.Now().Add(-row.age)
				list[i].MaybeStored = row.maybeStored
			}
			for n := 1; n < enoughStrikes; n++ {
				results, err := s.Send(t.Context(), list)
				checkFate(t, fmt.Sprintf("%+v, delivery %d", row, n), results, err, fate{NeedsOperator, row.maybeStored})
			}
			results, err := s.Send(t.Context(), list)
			for _, r := range results {
				if r.State != row.want || r.MaybeStored != row.maybeStored || !strings.Contains(r.Reason, "a fault of the sandbox") {
					t.Errorf("%+v: %+v", row, r)
				}
			}
			if (err != nil) != (row.want == meter.Sealed) {
				t.Errorf("%+v: %v", row, err)
			}
		}
	})
}

// A failure amid the parts of a split batch leaves the rest as it was.
func TestFailureAmidASplit(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{
			{Kind: sandbox.FaultPoison, SKU: "poison"},
			{Kind: sandbox.FaultDropAfter, Every: 2}, // the left half passes, the next request is lost
		}})
		s := connect(t, transport, box, Config{})
		list := records(4)
		list[3].SKU = "poison"
		results, err := s.Send(t.Context(), list)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Retry {
			t.Fatal(err)
		}
		got := ""
		for _, r := range results {
			got += fmt.Sprintf("%s %v; ", r.State, r.MaybeStored)
		}
		// [0 1 2 3] 400; [0 1] accepted; [2 3] 400; [2] lost; [3] not sent.
		if want := "accepted false; accepted false; sealed true; sealed false; "; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

func TestMisuse(t *testing.T) {
	s := answering(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return response(200, "{}"), nil
	})
	mixed := records(2)
	mixed[1].ProductID = "another"
	twice := records(2)
	twice[1].UUID = twice[0].UUID
	nameless := records(1)
	nameless[0].ProductID = strings.Repeat("x", 51)
	for name, list := range map[string][]meter.Record{"26": records(26), "mixed": mixed, "twice": twice, "product": nameless} {
		results, err := s.Send(t.Context(), list)
		checkFate(t, name, nil, err, loud)
		if len(results) != len(list) || results[0].State != meter.Sealed || results[0].UUID != list[0].UUID {
			t.Errorf("%s: %+v", name, results)
		}
	}
	if results, err := s.Send(t.Context(), nil); len(results) != 0 || err != nil {
		t.Error(results, err)
	}
}

func TestDefectiveRecordsAreNotSent(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{MalformedFailsAll: true})
		s := connect(t, transport, box, Config{})
		list := records(7)
		list[0].UUID = "6da9b1a4"
		list[1].SKU = strings.Repeat("ж", 51)
		list[2].Quantity = 0
		list[3].Quantity = -1
		list[4].Timestamp = time.Time{}
		list[5].SKU = "\xff"
		list[6].SKU = strings.Repeat("ж", 50)
		results, err := s.Send(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results[:6] {
			if r.State != meter.Refused || !strings.HasPrefix(r.Reason, "not sent: ") {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if results[6].State != meter.Accepted || box.Stats().Requests != 1 {
			t.Errorf("%+v", results[6])
		}
	})
}

func TestSkew(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		for _, skew := range []time.Duration{0, 90 * time.Second, -90 * time.Second} {
			box := sandbox.New(sandbox.Config{Skew: skew})
			s := connect(t, transport, box, Config{})
			if s.Skew() != 0 {
				t.Error("skew known before any answer")
			}
			results, err := s.Send(t.Context(), records(1))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Skew(); (got - skew).Abs() > time.Second {
				t.Errorf("skew %v, want %v", got, skew)
			}
			if skew < 0 && (results[0].Reason != invalidTimestamp || !results[0].Reissue) {
				t.Errorf("%+v", results[0])
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Tokens: fixedToken("t"), Transport: "soap"},
		{Tokens: fixedToken("t"), Endpoint: "marketplace.api.cloud.yandex.net"},
		{Tokens: fixedToken("t"), Endpoint: "ftp://host"},
		{Tokens: fixedToken("t"), Endpoint: "https://user:hunter2@host"},
		{Tokens: fixedToken("t"), Endpoint: "https://host?x=hunter2"},
		{Tokens: fixedToken("t"), Endpoint: "https://ho st:hunter2"},
		{Tokens: fixedToken("t"), Endpoint: "https://host/base", Transport: GRPC},
		{Tokens: fixedToken("t"), CAFile: "testdata/none.pem"},
		{Tokens: fixedToken("t"), CAFile: "testdata/answers.txtar"},
		{Tokens: fixedToken("t"), CAFile: "testdata/answers.txtar", Transport: GRPC},
		{Tokens: fixedToken("t"), CAFile: "testdata/answers.txtar", Transport: GRPC, Endpoint: "http://127.0.0.1"},
	} {
		if s, err := New(cfg); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v %v", cfg, s, err)
		}
	}
}
