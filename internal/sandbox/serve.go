package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Serve serves the model on ln, HTTP/1.1 and HTTP/2, until ctx ends. Requests
// that hang end with it. Serve closes ln and returns nil, or why it could not
// serve.
func (s *Sandbox) Serve(ctx context.Context, ln net.Listener) error {
	return s.ServeBehind(ctx, ln, s.Handler())
}

// ServeBehind does the same with a handler in front of the model's.
func (s *Sandbox) ServeBehind(ctx context.Context, ln net.Listener, front http.Handler) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: front, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }, ConnContext: withConn,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
		stopped <- nil
	})
	err := server.Serve(listener{ln, s.cfg.TLS})
	if stop() { // ctx has not ended
		server.Close()
		return fmt.Errorf("sandbox: %w", err)
	}
	<-stopped
	return nil
}

// Start serves the model on a free port of 127.0.0.1 until ctx ends. It
// returns the base URL; wait returns when serving has ended, and why.
func (s *Sandbox) Start(ctx context.Context) (url string, wait func() error, err error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err == nil && ctx.Err() != nil {
		ln.Close()
		err = ctx.Err()
	}
	if err != nil {
		return "", nil, fmt.Errorf("sandbox: %w", err)
	}
	done := make(chan struct{})
	var ended error
	go func() {
		defer close(done)
		ended = s.Serve(ctx, ln)
	}()
	return "http://" + ln.Addr().String(), func() error { <-done; return ended }, nil
}

// Transport carries requests to the model within the process, without a
// network. It takes requests for any host.
func (s *Sandbox) Transport() http.RoundTripper { return local{s.Handler()} }

// local is a transport that calls a handler.
type local struct{ handler http.Handler }

func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	defer body.Close()
	in := r.Clone(r.Context())
	in.Body, in.RequestURI, in.Host = body, r.URL.RequestURI(), r.URL.Host
	w := &recorder{header: http.Header{}}
	aborted := w.run(l.handler, in)
	if aborted && w.status == 0 {
		return nil, errors.New("sandbox: the connection was closed")
	}
	w.WriteHeader(http.StatusOK)
	var content io.Reader = &w.body
	if aborted {
		content = io.MultiReader(content, broken{})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(content), ContentLength: -1, Request: r,
	}, nil
}

// recorder is a ResponseWriter that keeps an answer. It is owned by one call.
type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

// run calls the handler and reports whether it closed the connection.
func (w *recorder) run(h http.Handler, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			aborted = true
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) Flush()              {}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// broken is the rest of a body whose connection is gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
