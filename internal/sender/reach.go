package sender

import (
	"errors"
	"net"
	"strings"
)

// TrustHint says what to do about a certificate that is not trusted.
const TrustHint = "see that the clock is right (timedatectl) and delivery.endpoint is the API's; if a proxy of yours opens TLS, name its certificate in delivery.ca_file"

// Untrusted reports whether a server's certificate is not trusted.
func Untrusted(err error) bool { return strings.Contains(err.Error(), "x509: ") }

// ReachHint says what to do about a request that did not reach the API. Errors of gRPC
// tell their kind in their text only. endpoint is how the hint names the API.
func ReachHint(err error, endpoint string) string {
	text := err.Error()
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case Untrusted(err):
		return TrustHint
	case says("proxyconnect", "connect handshake"):
		return "see that the proxy of this machine (HTTPS_PROXY, NO_PROXY) is spelt right, runs, and lets this machine connect to delivery.endpoint"
	case says("no such host", "server misbehaving", "produced zero addresses"):
		name := "HOST"
		if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) {
			name = unknown.Name
		}
		return "see that delivery.endpoint is spelt right and this machine has a name server (resolvectl query " + name + ")"
	case says("does not look like a TLS handshake", "gave HTTP response to HTTPS client"):
		return "the server does not speak TLS there: see the scheme and the port of delivery.endpoint"
	case says("malformed HTTP response"):
		return "the server does not speak HTTP there: see the scheme and the port of delivery.endpoint"
	}
	return "see whether this machine reaches " + endpoint + ", and the proxy it needs (HTTPS_PROXY)"
}
