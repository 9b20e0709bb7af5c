package sender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// rpc is the transport over gRPC.
type rpc struct {
	target  string
	options []grpc.DialOption

	mu   sync.Mutex
	line *line // nil until it is needed, and after it has failed
}

// line is one gRPC channel with the number of requests on it. A failed one is
// replaced at once and closed when its last request has ended.
type line struct {
	*grpc.ClientConn
	requests int
	retired  bool
}

func newGRPC(cfg Config, endpoint *url.URL) (*rpc, error) {
	if cfg.HTTP != nil {
		return nil, errors.New("a RoundTripper cannot carry gRPC")
	}
	if endpoint.Path != "" {
		return nil, fmt.Errorf("endpoint %s: with gRPC it ends with the host or the port", endpoint)
	}
	config, err := tlsConfig(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	port, creds := "443", credentials.NewTLS(config)
	if endpoint.Scheme == "http" {
		port, creds = "80", insecure.NewCredentials()
	}
	t := &rpc{target: "dns:///" + net.JoinHostPort(endpoint.Hostname(), orDefault(endpoint.Port(), port))}
	t.options = []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(cfg.UserAgent),
		grpc.WithDisableServiceConfig(), // retries are ours to decide
		grpc.WithIdleTimeout(20 * time.Second),
		grpc.WithStatsHandler(callWatcher{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBody)),
	}
	if cfg.Dial != nil {
		t.target = strings.Replace(t.target, "dns:", "passthrough:", 1)
		t.options = append(t.options, grpc.WithContextDialer(cfg.Dial))
	}
	return t, nil
}

// take returns the channel to use, with one more request on it.
func (t *rpc) take() (*line, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line == nil {
		conn, err := grpc.NewClient(t.target, t.options...)
		if err != nil {
			return nil, err
		}
		t.line = &line{ClientConn: conn}
	}
	t.line.requests++
	return t.line, nil
}

// put ends a request. After a failure of the connection the next request opens a new
// one. It waits for no backoff of the channel, and uses no dead connection.
func (t *rpc) put(l *line, broken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.requests--
	if broken {
		l.retired = true
		if t.line == l {
			t.line = nil
		}
	}
	if l.retired && l.requests == 0 {
		l.Close()
	}
}

func (t *rpc) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line == nil {
		return nil
	}
	err := t.line.Close()
	t.line = nil
	return err
}

func (t *rpc) write(ctx context.Context, r request) (answer, *Error) {
	message := &metering.WriteImageProductUsageRequest{ValidateOnly: r.validateOnly, ProductId: r.productID}
	for _, record := range r.records {
		message.UsageRecords = append(message.UsageRecords, &metering.UsageRecord{
			Uuid: strings.ToLower(record.UUID), SkuId: record.SKU, Quantity: record.Quantity,
			Timestamp: timestamppb.New(record.Timestamp),
		})
	}
	l, err := t.take()
	if err != nil {
		return answer{}, &Error{Kind: NeedsOperator, ClientID: r.id, Err: redactError(err, r.token)}
	}
	call := &call{}
	ctx = context.WithValue(ctx, callKey{}, call)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.token, "x-client-request-id", r.id)
	var header, trailer metadata.MD
	sent := time.Now()
	response, err := metering.NewImageProductUsageServiceClient(l).Write(ctx, message, grpc.Header(&header), grpc.Trailer(&trailer))
	both := http.Header{}
	for _, md := range []metadata.MD{header, trailer} {
		for name, values := range md {
			for _, value := range values {
				both.Add(name, value)
			}
		}
	}
	sends := call.count()
	if err != nil {
		failed := failure(ctx, r, err, both, call)
		t.put(l, failed.Status == 0 || failed.Status >= 500)
		return answer{}, failed
	}
	t.put(l, false)
	a := answer{dated: dated{both.Get("Date"), sent, time.Now()}, sends: sends}
	for _, accepted := range response.GetAccepted() {
		a.accepted = append(a.accepted, accepted.GetUuid())
	}
	for _, rejected := range response.GetRejected() {
		a.rejected = append(a.rejected, rejection{rejected.GetUuid(), rejected.GetReason().String()})
	}
	return a, nil
}

// httpStatus maps the codes of gRPC to HTTP, as the API's gateway does. Other codes
// are 500.
var httpStatus = map[codes.Code]int{
	codes.Canceled:           499,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.Unauthenticated:    http.StatusUnauthorized,
}

// failure makes an Error from the outcome of a call.
func failure(ctx context.Context, r request, err error, header http.Header, call *call) *Error {
	s := status.Convert(err)
	e := &Error{
		Status: orDefault(httpStatus[s.Code()], http.StatusInternalServerError), ClientID: r.id,
		RequestID: field(header, "X-Request-Id"), TraceID: field(header, "X-Server-Trace-Id"),
		RetryAfter: retryAfter(header), message: excerpt(s.Message(), 300, r.token),
	}
	e.Kind, e.maybeStored = fateOf(e.Status)
	switch sends := call.count(); {
	case sends == 0:
		e.Kind, e.maybeStored, e.Status = Retry, false, 0
	case ctx.Err() != nil || !call.isStatusOfServer(s): // the call ended before the API's answer did
		e.Kind, e.maybeStored, e.Status = Retry, true, 0
	case sends > 1: // grpc-go repeats what the server claims not to have processed
		e.maybeStored = true
	}
	e.Err = fmt.Errorf("write: gRPC %v: %s%s", s.Code(), e.message, advice(e.Status))
	if ctx.Err() != nil { // ours ended first
		e.Err = fmt.Errorf("write: %w", context.Cause(ctx))
	}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.RequestInfo:
			e.RequestID = orDefault(e.RequestID, excerpt(detail.GetRequestId(), 100))
		case *errdetails.RetryInfo:
			e.RetryAfter = orDefault(e.RetryAfter, clampRetry(detail.GetRetryDelay().AsDuration()))
		}
	}
	return e
}

// call is what the watcher has seen of one call.
type call struct {
	sends    atomic.Int32 // how often it went out on a connection
	answered atomic.Bool  // the server ended it with a status of its own
}

type callKey struct{}

func (c *call) count() int { return int(c.sends.Load()) }

// isStatusOfServer reports whether the server gave the status of a call, over gRPC or
// HTTP. Otherwise grpc-go made it up: it has codes of its own for a stream that was
// reset, and for a message that is too long.
func (c *call) isStatusOfServer(s *status.Status) bool {
	return c.answered.Load() && !strings.HasPrefix(s.Message(), "grpc: received message") ||
		strings.HasPrefix(s.Message(), "unexpected HTTP status code received from server: ")
}

// callWatcher tells a call what the connection sends and receives of it.
type callWatcher struct{}

func (callWatcher) HandleRPC(ctx context.Context, s stats.RPCStats) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return
	}
	switch s.(type) {
	case *stats.OutHeader:
		c.sends.Add(1)
	case *stats.InTrailer:
		c.answered.Store(true)
	}
}
func (callWatcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (callWatcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (callWatcher) HandleConn(context.Context, stats.ConnStats)                       {}
