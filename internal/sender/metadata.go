package sender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// The metadata service: its address, the variable that overrides it, and the
// paths asked there.
const (
	metadataAddr     = "169.254.169.254"
	metadataVariable = "YC_METADATA_ADDR"
	metadataToken    = "/computeMetadata/v1/instance/service-accounts/default/token"
	metadataInstance = "/computeMetadata/v1/instance/id"
	metadataTimeout  = 10 * time.Second
)

// Metadata is the metadata service of the virtual machine. The zero value is
// the one at the usual address. Its methods may be called concurrently.
type Metadata struct {
	Addr string            // host[:port]; "": $YC_METADATA_ADDR, else 169.254.169.254
	HTTP http.RoundTripper // nil: a transport that bypasses proxies
	Log  *slog.Logger      // nil: slog.Default

	once sync.Once
	own  http.RoundTripper
}

// Tokens returns the tokens of the VM's service account, cached.
func (m *Metadata) Tokens() TokenSource {
	return &cache{fetch: m.token, log: orDefault(m.Log, slog.Default())}
}

// ErrNoInstance says that the metadata service does not know a name of this machine.
// InstanceID wraps it. It does not help to ask again.
var ErrNoInstance = errors.New("the metadata service has no id of this instance")

// InstanceID returns the cloud's name of this VM. Unless the error is ErrNoInstance,
// it may pass in time.
func (m *Metadata) InstanceID(ctx context.Context) (string, error) {
	got, err := m.get(ctx, metadataInstance)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(got.body))
	switch status := got.status; {
	case status == http.StatusOK && instanceName.MatchString(id):
		return id, nil
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
	case status == http.StatusOK, status >= 400 && status < 500, status == http.StatusNotImplemented:
		// What answers any path with something, a token perhaps, names nothing.
		return "", fmt.Errorf("%w: %d", ErrNoInstance, status)
	}
	return "", fmt.Errorf("metadata service: instance id: %d", got.status)
}

// instanceName is what an instance's id looks like.
var instanceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (m *Metadata) token(ctx context.Context) (token, error) {
	got, err := m.get(ctx, metadataToken)
	if err != nil {
		return token{}, err
	}
	switch got.status {
	case http.StatusOK:
	case http.StatusNotFound:
		return token{}, errors.New("metadata service: 404: no service account is attached to this VM; attach one that has the role marketplace.meteringAgent")
	case http.StatusBadRequest:
		return token{}, errors.New("metadata service: 400: its token service is switched off on this VM; switch it on in the VM's metadata options")
	default:
		return token{}, fmt.Errorf("metadata service: token: %d %s", got.status, excerpt(string(got.body), 100))
	}
	var body struct {
		Value     string  `json:"access_token"`
		ExpiresIn float64 `json:"expires_in"` // seconds
	}
	if json.Unmarshal(got.body, &body) != nil { // whose errors might repeat a part of it
		return token{}, errors.New("metadata service: token: the answer cannot be read")
	}
	if err := checkToken(body.Value); err != nil {
		return token{}, fmt.Errorf("metadata service: %w", err)
	}
	return newToken(body.Value, seconds(body.ExpiresIn)), nil
}

// maxLifetime bounds what a source may say of a token's lifetime.
const maxLifetime = 12 * time.Hour

func seconds(n float64) time.Duration {
	if !(n < maxLifetime.Seconds()) {
		return maxLifetime
	}
	return time.Duration(max(n, 0) * float64(time.Second))
}

func (m *Metadata) get(ctx context.Context, path string) (httpAnswer, error) {
	m.once.Do(func() {
		m.own = m.HTTP
		if m.own == nil {
			m.own, _ = newTransport("", nil, nil) // without a CA file it cannot fail
		}
	})
	addr := orDefault(m.Addr, orDefault(os.Getenv(metadataVariable), metadataAddr))
	addr = strings.TrimRight(strings.TrimPrefix(addr, "http://"), "/")
	ctx, cancel := context.WithTimeoutCause(ctx, metadataTimeout, fmt.Errorf("no answer within %v: %w", metadataTimeout, context.DeadlineExceeded))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return httpAnswer{}, fmt.Errorf("metadata service: address %q: it must be host[:port]", addr)
	}
	r.Header.Set("Metadata-Flavor", "Google")
	got, err := roundTrip(m.own, r)
	if err == nil {
		err = got.err
	}
	if err != nil {
		return httpAnswer{}, fmt.Errorf("metadata service at %s: %w", addr, redactError(err))
	}
	return got, nil
}
