package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

// dialer opens connections for HTTP.
var dialer = net.Dialer{Timeout: 10 * time.Second}

// newTransport makes a transport for HTTP. A RoundTripper follows no redirects.
func newTransport(caFile string, proxy func(*http.Request) (*url.URL, error), dial func(context.Context, string) (net.Conn, error)) (*http.Transport, error) {
	config, err := tlsConfig(caFile)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4,
		IdleConnTimeout:        20 * time.Second, // less than the pause between two windows: a connection that died unseen is not used again
		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("proxyconnect: the proxy answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
			}
			return nil
		},
	}
	if dial != nil {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) }
	}
	return t, nil
}

// CheckCAFile returns what is wrong with a file for Config.CAFile. The name "" is
// right.
func CheckCAFile(path string) error {
	_, err := tlsConfig(path)
	return err
}

// tlsConfig trusts the system's certificates and the certificates in caFile.
func tlsConfig(caFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s: it holds no PEM certificate", caFile)
	}
	config.RootCAs = pool
	return config, nil
}

// maxBody is how much of an answer is read, in bytes. The longest that 25
// records can need is some kilobytes.
const maxBody = 1 << 20

// httpAnswer is an answer over HTTP, its body read.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte
	err    error // why the body is not whole
}

// graceful is how long a transport may take to return after its request's context has
// ended.
const graceful = time.Second

// roundTrip sends one request and reads the answer, at most maxBody bytes of
// it. err says that there was no answer at all.
//
// It returns soon after the request's context has ended, whatever the transport does.
// Go's HTTP/2 client can block for ever: a WINDOW_UPDATE that overflows makes it lock
// a mutex twice. Such a request is left alone, and its connection is closed.
func roundTrip(rt http.RoundTripper, r *http.Request) (httpAnswer, error) {
	ctx := r.Context()
	var conn atomic.Pointer[net.Conn]
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { conn.Store(&got.Conn) },
	}))
	type outcome struct {
		answer httpAnswer
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		answer, err := carry(rt, r)
		done <- outcome{answer, err}
	}()
	select {
	case got := <-done:
		return got.answer, got.err
	case <-ctx.Done():
	}
	select {
	case got := <-done:
		return got.answer, got.err
	case <-time.After(graceful):
	}
	if c := conn.Load(); c != nil && *c != nil {
		go (*c).Close() // it may block as well
	}
	return httpAnswer{}, context.Cause(ctx)
}

// carry does the work of roundTrip, as long as the transport takes.
func carry(rt http.RoundTripper, r *http.Request) (httpAnswer, error) {
	response, err := rt.RoundTrip(r)
	if err != nil {
		if r.Context().Err() != nil {
			err = context.Cause(r.Context())
		}
		return httpAnswer{}, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which never ends
		return httpAnswer{status: response.StatusCode, header: response.Header}, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil && r.Context().Err() != nil:
		err = context.Cause(r.Context())
	case err == nil && len(body) > maxBody:
		body, err = body[:maxBody], fmt.Errorf("the answer is longer than %d bytes", maxBody)
	}
	return httpAnswer{response.StatusCode, response.Header, body, err}, nil
}
