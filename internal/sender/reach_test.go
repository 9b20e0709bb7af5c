package sender

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestReachHint(t *testing.T) {
	for text, want := range map[string]string{
		"tls: failed to verify certificate: x509: certificate has expired or is not yet valid": "delivery.ca_file",
		`gRPC Unavailable: desc = "authentication handshake failed: x509: unknown authority"`:  "timedatectl",
		"proxyconnect tcp: dial tcp: lookup proxy.invalid: no such host":                       "HTTPS_PROXY",
		`failed to do connect handshake, response: "HTTP/1.1 407 Proxy"`:                       "the proxy of this machine",
		"gRPC Unavailable: name resolver error: produced zero addresses":                       "resolvectl",
		"tls: first record does not look like a TLS handshake":                                 "does not speak TLS",
		"http: server gave HTTP response to HTTPS client":                                      "does not speak TLS",
		`malformed HTTP response "\x15\x03"`:                                                   "does not speak HTTP",
		"dial tcp 127.0.0.1:1: connect: connection refused":                                    "reaches https://api.example",
	} {
		if got := ReachHint(errors.New(text), "https://api.example"); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", text, got, want)
		}
	}
	unknown := fmt.Errorf("write: %w", &net.DNSError{Err: "no such host", Name: "api.example"})
	if got := ReachHint(unknown, ""); !strings.Contains(got, "resolvectl query api.example") {
		t.Error(got)
	}
}

// A proxy that does not connect is named as such.
func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	transport := must(newTransport("", http.ProxyURL(must(url.Parse(proxy.URL))), nil))
	defer transport.CloseIdleConnections()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", nil))
	_, err := roundTrip(transport, r)
	if err == nil || !strings.Contains(err.Error(), "the proxy answers 407") {
		t.Errorf("error %v", err)
	}
}
