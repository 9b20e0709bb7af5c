package sandbox

import (
	"cmp"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	deprecated "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/v1/metering"
	"google.golang.org/grpc/codes"
)

// The paths of what is modelled.
const (
	writePath    = "/marketplace/metering/v1/imageProductUsage/write"
	oldWritePath = "/marketplace/v1/metering/imageProductUsage/write" // of the deprecated package
	exchangePath = "/iam/v1/tokens"
	metadataPath = "/computeMetadata/v1/instance/"
)

// maxRequest is how much of a request is read, in bytes.
const maxRequest = 4 << 20

// codec speaks one of the transports: it reads a request and writes what came
// of it.
type codec interface {
	read(body []byte) (r writeRequest, complaints []string, err *apiError)
	answer(w http.ResponseWriter, a answer, p plan)
	fail(w http.ResponseWriter, err *apiError, requestID string)
	encode(a answer, p plan) []byte // the body of an answer, for faults to spoil
	write(w http.ResponseWriter, body []byte)
	refusal() []byte // a body of success that is an error's
}

// Handler serves the model's endpoints over HTTP: the write method over REST
// and, on HTTP/2, gRPC, in its present and its deprecated package; the key
// exchange; where services are; reflection; the metadata service; a page at the
// root, with /records, /totals, /rejected and /problems beside it for programs.
func (s *Sandbox) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{writePath, oldWritePath} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.serveWrite(w, r, restCodec{s}) })
	}
	// The messages of both packages differ only in their names.
	for _, path := range []string{metering.ImageProductUsageService_Write_FullMethodName, deprecated.ImageProductUsageService_Write_FullMethodName} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if !isGRPC(r) {
				http.Error(w, "gRPC is spoken here", http.StatusUnsupportedMediaType)
				return
			}
			s.serveWrite(w, r, grpcCodec{})
		})
	}
	mux.HandleFunc("POST "+exchangePath, s.serveExchange)
	mux.HandleFunc("GET "+metadataPath, s.serveMetadata)
	mux.HandleFunc("GET /endpoints", s.serveEndpoints)
	mux.HandleFunc("GET /endpoints/{id}", s.serveEndpoints)
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /records", s.serveJSON(func() any { return orEmpty(s.Records()) }))
	mux.HandleFunc("GET /totals", s.serveJSON(func() any { return orEmpty(s.Totals()) }))
	mux.HandleFunc("GET /rejected", s.serveJSON(func() any { return orEmpty(s.Rejected()) }))
	mux.HandleFunc("GET /problems", s.serveJSON(func() any {
		return map[string]any{"conflicts": orEmpty(s.Conflicts()), "violations": orEmpty(s.Violations()), "requests": s.Stats()}
	}))
	services := s.services()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if isGRPC(r) {
			services.ServeHTTP(w, r)
			return
		}
		restCodec{s}.fail(w, &apiError{code: codes.NotFound, status: http.StatusNotFound, message: "no such method"}, "")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	})
}

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// serveWrite is the way of one request to the write method.
func (s *Sandbox) serveWrite(w http.ResponseWriter, r *http.Request, c codec) {
	defer s.enter()()
	requestID := uuid.NewString()
	w.Header().Set("X-Request-Id", requestID)
	w.Header().Set("X-Server-Trace-Id", strings.ReplaceAll(requestID, "-", "")[:16])
	fail := func(err *apiError) {
		s.failed(err)
		c.fail(w, err, requestID)
	}
	if err := s.admit(r); err != nil {
		fail(err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		fail(invalid("the request cannot be read"))
		return
	}
	request, complaints, failed := c.read(body)
	s.complain(complaints)
	if failed != nil {
		fail(failed)
		return
	}
	p := s.planWrite(request)
	if p.date != nil {
		p.date.spoil(w.Header(), s.now())
	}
	if p.replace != nil && p.replace.before() {
		s.commit(w, r, c, p.replace, nil, requestID)
		return
	}
	partial := -1
	if p.form[FaultPartial] && len(request.records) > 0 {
		partial = p.which(len(request.records))
	}
	a, failed := s.write(request, partial)
	switch {
	case failed != nil:
		fail(failed)
	case p.replace != nil:
		s.commit(w, r, c, p.replace, c.encode(a, p), requestID)
	default:
		c.answer(w, p.reform(a), p)
	}
}

// enter begins a request, which takes its time; leave ends it.
func (s *Sandbox) enter() (leave func()) {
	s.mu.Lock()
	s.present++
	s.stats.AtATime = max(s.stats.AtATime, s.present)
	s.mu.Unlock()
	time.Sleep(s.cfg.Latency)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.present--
	}
}

// admit checks who asks.
func (s *Sandbox) admit(r *http.Request) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests++
	id := r.Header.Get("X-Client-Request-Id")
	if id == "" && !s.cfg.AnyClient {
		s.violation("a request without x-client-request-id")
	} else if id != "" && s.requestIDs[id] && !s.repeats {
		s.violation("x-client-request-id twice: " + id)
	}
	s.requestIDs[id] = true

	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	until, issued := s.tokens[token]
	message := ""
	switch {
	case !bearer || token == "":
		s.violation("a request without a token")
		message = "Authorization is required"
	case slices.Contains(s.cfg.Tokens, token):
		return nil
	case issued && !s.cfg.Now().Before(until):
		message = "The token has expired"
	case !issued && !s.cfg.AnyToken:
		message = "The token is invalid"
	default:
		return nil
	}
	s.stats.Unauthorized++
	return &apiError{code: codes.Unauthenticated, status: http.StatusUnauthorized, message: message}
}

func (s *Sandbox) complain(complaints []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range complaints {
		s.violation(text)
	}
}

// commit commits a fault that replaces the answer. body is the answer that
// would have been, where there was one.
func (s *Sandbox) commit(w http.ResponseWriter, r *http.Request, c codec, f *Fault, body []byte, requestID string) {
	if f.Status > 0 {
		s.failed(&apiError{status: f.Status, message: "a fault of the sandbox"})
	}
	switch f.Kind {
	case FaultDropBefore, FaultDropAfter:
		panic(http.ErrAbortHandler)
	case FaultResetBefore, FaultResetAfter, FaultGoAwayBefore, FaultGoAwayAfter:
		s.mu.Lock()
		delete(s.requestIDs, r.Header.Get("X-Client-Request-Id")) // a transport may send it again
		s.repeats = true                                          // and others that were on its connection
		s.mu.Unlock()
		abort(r, f)
	case FaultError200:
		c.write(w, c.refusal())
	case FaultNoVerdicts:
		c.write(w, c.encode(answer{}, plan{}))
	case FaultHangBefore, FaultHangAfter:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case FaultPoison:
		c.fail(w, invalid("usage_records: Field value is invalid"), requestID)
	case FaultStatus, FaultStatusAfter:
		if f.Status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		c.fail(w, &apiError{code: codeOf(f.Status), status: f.Status, message: "a fault of the sandbox", retryAfter: f.RetryAfter}, requestID)
	case FaultGarbage:
		c.write(w, []byte("\xff\x00{]garbage"))
	case FaultTruncate:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		c.write(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush() // what cannot be flushed is lost, as intended
		panic(http.ErrAbortHandler)
	case FaultCut:
		c.write(w, body[:len(body)/2])
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Something went wrong</h1></body></html>\n")
	case FaultEmpty:
	case FaultHuge:
		c.write(w, append(body, []byte(strings.Repeat(" ", 3<<19))...))
	}
}

// reform changes the content of an answer as its faults have it.
func (p plan) reform(a answer) answer {
	n := len(a.accepted) + len(a.rejected)
	if p.form[FaultOmit] && n > 0 {
		if i := p.which(n); i < len(a.accepted) {
			a.accepted = append(a.accepted[:i:i], a.accepted[i+1:]...)
		} else {
			i -= len(a.accepted)
			a.rejected = append(a.rejected[:i:i], a.rejected[i+1:]...)
		}
	}
	if p.form[FaultUnknownReason] {
		for i := range a.rejected {
			a.rejected[i].reason = "INVALID_PHASE_OF_MOON"
		}
	}
	if p.form[FaultBoth] && len(a.accepted) > 0 {
		a.rejected = append(a.rejected, rejection{a.accepted[0].uuid, invalidQuantity.String()})
	}
	if p.form[FaultStranger] {
		a.accepted = append(a.accepted, usageRecord{uuid: uuid.NewString()})
		a.rejected = append(a.rejected, rejection{uuid.NewString(), expired.String()})
	}
	if p.form[FaultTwice] {
		a.accepted = append(a.accepted, a.accepted...)
		a.rejected = append(a.rejected, a.rejected...)
	}
	if p.form[FaultUpper] {
		for i := range a.accepted {
			a.accepted[i].uuid = strings.ToUpper(a.accepted[i].uuid)
		}
		for i := range a.rejected {
			a.rejected[i].uuid = strings.ToUpper(a.rejected[i].uuid)
		}
	}
	return a
}

// codeOf returns the gRPC code that corresponds to a status of HTTP.
func codeOf(status int) codes.Code {
	code, ok := map[int]codes.Code{
		400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.NotFound,
		409: codes.Aborted, 429: codes.ResourceExhausted, 499: codes.Canceled, 500: codes.Internal,
		501: codes.Unimplemented, 503: codes.Unavailable, 504: codes.DeadlineExceeded,
	}[status]
	if !ok {
		return codes.Unknown
	}
	return code
}

func retryAfterSeconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(cmp.Or(d, 0).Seconds())))
}
