package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/sandbox"
)

// front is between an agent and the model of the API, and makes it worse,
// over either transport.
type front struct {
	box *sandbox.Sandbox

	mu     sync.Mutex
	chance *rand.Rand
	ills   ills
	ids    map[string]bool // of the requests that came
	did    map[string]int  // what was done wrong, by transport and kind: how often
}

// note counts what was done wrong to a request over REST or gRPC.
func (f *front) note(rpc bool, kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	transport := "rest"
	if rpc {
		transport = "grpc"
	}
	f.did[transport+": "+kind]++
}

// isAgain reports whether a request with this id came before.
func (f *front) isAgain(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	again := f.ids[id]
	f.ids[id] = true
	return again
}

// ills are what a front does wrong. The zero value does nothing wrong.
type ills struct {
	dates   []time.Duration // half of the answers bear a Date that is off by one of these
	always  bool            // all of them do
	noDate  bool            // no answer has a Date
	poison  string          // an SKU: every request that holds it fails
	fails   int             // with poison: the HTTP status; 0: the connection breaks, 1: no answer comes
	twice   bool            // every other request comes twice, and the first answer is lost
	silent  bool            // validate_only is never answered
	nothing bool            // 200, and no record is mentioned

	refusesQuestions bool // validate_only is answered 503
}

func newFront(box *sandbox.Sandbox, seed int64) *front {
	return &front{box: box, chance: rand.New(rand.NewPCG(uint64(seed), 2)), ids: make(map[string]bool), did: make(map[string]int)}
}

// set changes what it does wrong.
func (f *front) set(ills ills) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ills = ills
}

func (f *front) present() ills {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ills
}

// half reports true half of the time.
func (f *front) half() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.chance.IntN(2) == 0
}

func (f *front) date(ills ills) (date string, off bool) {
	if ills.noDate {
		return "", true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ills.dates) == 0 || !ills.always && f.chance.IntN(2) == 0 {
		return "", false
	}
	wrong := time.Now().Add(ills.dates[f.chance.IntN(len(ills.dates))])
	return wrong.UTC().Format(http.TimeFormat), true
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ills := f.present()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	rpc := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	spoiled := &spoiled{ResponseWriter: w}
	if date, off := f.date(ills); off {
		spoiled.date, spoiled.off = date, true
		if f.note(rpc, "no date"); date != "" {
			f.note(rpc, "a wrong date")
		}
	}
	if f.isAgain(r.Header.Get("X-Client-Request-Id")) {
		f.note(rpc, "sent twice by the transport")
	}
	validates := bytes.Contains(body, []byte(`"validateOnly":true`)) || rpc && len(body) > 6 && body[5] == 0x08 && body[6] == 1
	switch {
	case ills.silent && validates:
		f.note(rpc, "a question without an answer")
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case ills.refusesQuestions && validates:
		f.fail(spoiled, r, 503, rpc)
	case ills.poison != "" && bytes.Contains(body, []byte(ills.poison)):
		f.note(rpc, fmt.Sprintf("poison that fails with %d", ills.fails))
		f.fail(spoiled, r, ills.fails, rpc)
	case ills.nothing && rpc:
		spoiled.Header().Set("Content-Type", "application/grpc")
		spoiled.Write(make([]byte, 5))
		spoiled.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	case ills.nothing:
		io.WriteString(spoiled, `{"message":"billing is suspended"}`)
	default:
		f.box.Handler().ServeHTTP(spoiled, r)
	}
}

func (f *front) fail(w http.ResponseWriter, r *http.Request, status int, rpc bool) {
	switch {
	case status == 0:
		panic(http.ErrAbortHandler)
	case status == 1:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case rpc:
		code := map[int]string{403: "7", 404: "5", 429: "8", 500: "13", 503: "14"}[status]
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", code)
		w.WriteHeader(http.StatusOK)
	default:
		http.Error(w, "poison", status)
	}
}

// RoundTrip carries a request in the process, as HTTP/1.1.
func (f *front) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.present().twice || f.half() {
		return f.roundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	first := r.Clone(r.Context())
	first.Body, r.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	first.Header.Set("X-Client-Request-Id", uuid.NewString()) // the model counts a request that comes twice as a violation
	f.roundTrip(first)
	f.note(false, "sent twice by the transport")
	return f.roundTrip(r)
}

func (f *front) roundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GetConn("")
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaders()
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	w := httptest.NewRecorder()
	aborted := aborts(func() { f.ServeHTTP(w, in) })
	if aborted && w.Body.Len() == 0 {
		return nil, errors.New("the connection was closed")
	}
	response := w.Result()
	if aborted {
		response.Body = io.NopCloser(io.MultiReader(response.Body, broken{}))
	}
	return response, nil
}

// aborts reports whether a handler closes the connection.
func aborts(handle func()) (aborted bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			aborted = true
		} else if p != nil {
			panic(p)
		}
	}()
	handle()
	return false
}

// broken is the rest of a body whose connection is gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// serve serves on a network in memory, until the test ends.
func (f *front) serve(t *testing.T, network pipes) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.box.ServeBehind(ctx, network, f) }()
	t.Cleanup(func() { cancel(); <-done })
}

// spoiled is an answer whose Date is changed.
type spoiled struct {
	http.ResponseWriter
	date string // "": none
	off  bool
}

func (s *spoiled) spoil() {
	switch {
	case s.off && s.date == "":
		s.Header()["Date"] = nil
	case s.off:
		s.Header().Set("Date", s.date)
	}
	s.off = false
}

func (s *spoiled) WriteHeader(status int)      { s.spoil(); s.ResponseWriter.WriteHeader(status) }
func (s *spoiled) Write(p []byte) (int, error) { s.spoil(); return s.ResponseWriter.Write(p) }
func (s *spoiled) Unwrap() http.ResponseWriter { return s.ResponseWriter }
