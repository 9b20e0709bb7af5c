package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// DefaultEndpoint is where the Metering API is served unless the
// configuration says otherwise.
const DefaultEndpoint = "https://marketplace.api.cloud.yandex.net"

// The transports.
const (
	REST = "rest"
	GRPC = "grpc"
)

// Config says where and how a Sender delivers. The zero value of every field
// is its default; Tokens alone is required.
type Config struct {
	Endpoint     string        // scheme and host of the API; "": DefaultEndpoint. http:// is plain text
	Transport    string        // REST (default) or GRPC
	Timeout      time.Duration // of one request; 0: 30 s
	ValidateOnly bool          // every request asks only whether it would be accepted; nothing is stored
	UserAgent    string        // "": "meterlog"
	Tokens       TokenSource   // belongs to the Sender from New on: Close closes it if it is an io.Closer
	CAFile       string        // PEM certificates to trust beside the system's; "": none

	// Seams for tests and for an API embedded in the process.
	HTTP http.RoundTripper                                           // carries REST requests; nil: a transport of the Sender's own
	Dial func(ctx context.Context, address string) (net.Conn, error) // opens connections for either transport; nil: by the network, through the proxies of the environment

	Log *slog.Logger // nil: slog.Default
}

// transport carries one request to the API. Both implementations judge
// failures alike, as fateOf says.
type transport interface {
	write(ctx context.Context, r request) (answer, *Error)
	close() error
}

// request is one request as every transport sends it.
type request struct {
	id           string // x-client-request-id
	token        string
	productID    string
	validateOnly bool
	records      []meter.Record
}

// Sender delivers records. Its methods may be called concurrently.
type Sender struct {
	transport    transport
	tokens       TokenSource
	timeout      time.Duration
	validateOnly bool
	log          *slog.Logger
	clock        *clock

	answers atomic.Uint64 // requests that were answered with success
	silence silence

	mu     sync.Mutex
	struck map[string]strikes // by uuid: records that were answered 400 alone
}

// New returns a Sender. It starts nothing and connects nowhere; an error is
// one of the configuration.
func New(cfg Config) (*Sender, error) {
	if cfg.Tokens == nil {
		return nil, errors.New("sender: no token source")
	}
	cfg.Timeout = orDefault(cfg.Timeout, 30*time.Second)
	cfg.UserAgent = orDefault(cfg.UserAgent, "meterlog")
	cfg.Log = orDefault(cfg.Log, slog.Default())
	endpoint, err := parseEndpoint(orDefault(cfg.Endpoint, DefaultEndpoint))
	if err != nil {
		return nil, fmt.Errorf("sender: endpoint: %w", err)
	}
	if endpoint.Scheme == "http" && !loopback(endpoint.Hostname()) {
		cfg.Log.Warn("the token and the usage go over the network in plain text; https:// would encrypt them", "endpoint", endpoint.String())
	}
	s := &Sender{
		tokens: cfg.Tokens, timeout: cfg.Timeout, validateOnly: cfg.ValidateOnly, log: cfg.Log,
		clock: &clock{}, struck: make(map[string]strikes),
	}
	switch cfg.Transport {
	case "", REST:
		s.transport, err = newREST(cfg, endpoint)
	case GRPC:
		s.transport, err = newGRPC(cfg, endpoint)
	default:
		err = fmt.Errorf("transport %q: it is %s or %s", cfg.Transport, REST, GRPC)
	}
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	return s, nil
}

// Send makes one delivery of at most meter.MaxRecords records of one product
// and returns one Result for each record, in order, always.
//
// err is nil or an *Error. It is nil where the API has answered every request
// that the delivery took; records that its answer leaves out are Sealed even
// so. Otherwise at least one request failed, for the reason that err gives,
// and the records of that one and of those not sent any more are Sealed; the
// others' results hold.
func (s *Sender) Send(ctx context.Context, records []meter.Record) ([]meter.Result, error) {
	return s.deliver(ctx, records, s.validateOnly)
}

// Validate asks the API whether it would accept the records, and stores
// nothing. Its results are the API's words as they are: a DUPLICATE is Refused.
func (s *Sender) Validate(ctx context.Context, records []meter.Record) ([]meter.Result, error) {
	return s.deliver(ctx, records, true)
}

// Skew returns the API's clock minus ours, as its last answer with a verdict
// tells, to about a second. It returns 0 if they agree, if the API's clock is not
// known yet, and after our clock was set. Before the API's clock reaches a
// record's timestamp, the API refuses the record as INVALID_TIMESTAMP.
func (s *Sender) Skew() time.Duration { return s.clock.get() }

// Close releases connections and closes the token source. Deliveries under
// way are to be ended by their contexts first.
func (s *Sender) Close() error {
	err := s.transport.close()
	if tokens, ok := s.tokens.(io.Closer); ok {
		err = errors.Join(err, tokens.Close())
	}
	return err
}

// parseEndpoint reads the address of a service: a scheme, a host and perhaps a
// path. Its errors do not repeat what might be a password.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it must look like https://host or http://127.0.0.1:port")
	case u.User != nil:
		return nil, errors.New("it must not hold a user or a password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it must end with the host or a path")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
