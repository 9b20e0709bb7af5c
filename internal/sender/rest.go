package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// writePath is the method's address over REST.
const writePath = "/marketplace/metering/v1/imageProductUsage/write"

// rest is the transport over HTTP and JSON.
type rest struct {
	url       string
	userAgent string
	given     http.RoundTripper // nil: own
	own       atomic.Pointer[http.Transport]
}

func newREST(cfg Config, endpoint *url.URL) (*rest, error) {
	t := &rest{url: endpoint.String() + writePath, userAgent: cfg.UserAgent, given: cfg.HTTP}
	own, err := newTransport(cfg.CAFile, http.ProxyFromEnvironment, cfg.Dial)
	if err != nil {
		return nil, err
	}
	t.own.Store(own)
	return t, nil
}

func (t *rest) close() error {
	t.own.Load().CloseIdleConnections()
	return nil
}

// dropConnections makes the next request open a new connection. A connection without
// an answer may be dead without anybody knowing. HTTP/2 would use it again, so
// dropConnections replaces the whole transport. Requests that are under way on the
// old one end as they may.
func (t *rest) dropConnections() {
	old := t.own.Load()
	if t.own.CompareAndSwap(old, old.Clone()) {
		go old.CloseIdleConnections() // a connection that is stuck blocks it
	}
}

func (t *rest) roundTripper() http.RoundTripper {
	if t.given != nil {
		return t.given
	}
	return t.own.Load()
}

// The body of a request, as the public reference shows it. ValidateOnly is
// never left out, so that no default decides whether usage is billed.
type (
	writeRequest struct {
		ValidateOnly bool          `json:"validateOnly"`
		ProductID    string        `json:"productId"`
		UsageRecords []usageRecord `json:"usageRecords"`
	}
	usageRecord struct {
		UUID      string `json:"uuid"`
		SKU       string `json:"skuId"`
		Quantity  string `json:"quantity"` // an int64 in decimal, as JSON of protobuf has it
		Timestamp string `json:"timestamp"`
	}
)

func encode(r request) ([]byte, error) {
	body := writeRequest{ValidateOnly: r.validateOnly, ProductID: r.productID, UsageRecords: make([]usageRecord, len(r.records))}
	for i, record := range r.records {
		body.UsageRecords[i] = usageRecord{
			UUID:      strings.ToLower(record.UUID),
			SKU:       record.SKU,
			Quantity:  strconv.FormatInt(record.Quantity, 10),
			Timestamp: record.Timestamp.UTC().Format(time.RFC3339),
		}
	}
	return json.Marshal(body)
}

func (t *rest) write(ctx context.Context, r request) (answer, *Error) {
	body, err := encode(r)
	if err != nil {
		return answer{}, &Error{Kind: NeedsOperator, Err: err}
	}
	var asked, connected atomic.Bool
	var sends atomic.Int32
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { asked.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { connected.Store(true) },
		WroteHeaders: func() { sends.Add(1) },
	})
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, &Error{Kind: NeedsOperator, Err: err}
	}
	post.GetBody = nil // so that the transport repeats no request that may have arrived
	post.Header = http.Header{
		"Content-Type":        {"application/json"},
		"Accept":              {"application/json"},
		"Authorization":       {"Bearer " + r.token},
		"User-Agent":          {t.userAgent},
		"X-Client-Request-Id": {r.id},
	}
	sent := time.Now()
	got, err := roundTrip(t.roundTripper(), post)
	if err != nil {
		t.dropConnections()
		return answer{}, &Error{
			Kind: Retry, ClientID: r.id, Err: fmt.Errorf("write: %w", redactError(err, r.token)),
			// A transport that got no connection wrote nothing.
			maybeStored: !asked.Load() || connected.Load(),
		}
	}
	if got.err != nil {
		t.dropConnections()
	}
	if got.status < 200 || got.status > 299 {
		failed := t.failure(r, got)
		failed.maybeStored = failed.maybeStored || sends.Load() > 1 // by an earlier copy
		return answer{}, failed
	}
	a, err := parseAnswer(got.body)
	if got.err != nil {
		err = fmt.Errorf("the answer broke off: %w", redactError(got.err, r.token))
	}
	if err != nil {
		failed := t.failure(r, got)
		failed.Kind, failed.maybeStored = Retry, true
		failed.Err = fmt.Errorf("write: %d: %w", got.status, err)
		if text := excerpt(string(got.body), 100, r.token); text != "" {
			failed.Err = fmt.Errorf("%w: %s", failed.Err, text)
		}
		return answer{}, failed
	}
	a.sends, a.sent, a.answered = int(sends.Load()), sent, time.Now()
	if got.header.Get("Age") == "" { // not out of a cache
		a.date = got.header.Get("Date")
	}
	if len(a.accepted)+len(a.rejected) == 0 {
		a.message = new(Error).readError(got, r.token)
	}
	return a, nil
}

// failure makes an Error of an answer.
func (t *rest) failure(r request, got httpAnswer) *Error {
	e := &Error{
		Status: got.status, ClientID: r.id, RetryAfter: retryAfter(got.header),
		RequestID: field(got.header, "X-Request-Id"), TraceID: field(got.header, "X-Server-Trace-Id"),
	}
	e.Kind, e.maybeStored = fateOf(got.status)
	e.message = e.readError(got, r.token)
	text := strings.TrimSpace(fmt.Sprintf("%d %s", got.status, http.StatusText(got.status)))
	if got.status >= 300 && got.status < 400 {
		text += ", a redirect, which is never followed; check the endpoint"
	}
	if e.message != "" {
		text += ": " + e.message
	}
	e.Err = fmt.Errorf("write: %s%s", text, advice(got.status))
	return e
}

// advice says what an operator can do about a status.
func advice(status int) string {
	switch status {
	case http.StatusForbidden:
		return "; give the service account the role marketplace.meteringAgent on its folder, and see that the billing account is active"
	case http.StatusNotFound, http.StatusNotImplemented:
		return "; check the endpoint"
	}
	return ""
}

// field is a header field made fit for people.
func field(h http.Header, name string) string { return excerpt(h.Get(name), 100) }

// readError reads the body of a failure: google.rpc.Status in JSON, or whatever
// a proxy puts in its place.
func (e *Error) readError(got httpAnswer, token string) (message string) {
	var body struct {
		Code    json.RawMessage
		Message string
		Details []json.RawMessage
	}
	if json.Unmarshal(got.body, &body) != nil || body.Code == nil && body.Message == "" {
		if kind, _, _ := mime.ParseMediaType(got.header.Get("Content-Type")); strings.HasPrefix(kind, "image/") {
			return ""
		}
		return excerpt(string(got.body), 200, token)
	}
	for _, raw := range body.Details {
		var detail struct {
			RequestID      string `json:"requestId"`
			RequestIDSnake string `json:"request_id"`
			RetryDelay     string `json:"retryDelay"`
		}
		if json.Unmarshal(raw, &detail) != nil {
			continue
		}
		e.RequestID = orDefault(e.RequestID, excerpt(orDefault(detail.RequestID, detail.RequestIDSnake), 100))
		if delay, err := time.ParseDuration(detail.RetryDelay); err == nil && e.RetryAfter == 0 {
			e.RetryAfter = clampRetry(delay)
		}
	}
	message = excerpt(body.Message, 300, token)
	if message == "" {
		if code, err := strconv.Atoi(string(body.Code)); err == nil {
			message = codes.Code(code).String()
		}
	}
	return message
}
