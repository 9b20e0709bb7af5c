package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

const (
	product = "f2e4tmlj4qqciunhr7e6"
	sku     = "dn272e8979uvek5cnuhk"
	id      = "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"
	noon    = "2024-09-16T12:00:00Z"
)

// model is a Sandbox at noon, with the clients' side of REST.
type model struct {
	*Sandbox
	t     *testing.T
	token string
	n     int
	gone  bool // requests end while they wait for an answer
}

func newModel(t *testing.T, cfg Config) *model {
	t.Helper()
	if cfg.Now == nil {
		now, err := time.Parse(time.RFC3339, noon)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Now = func() time.Time { return now }
	}
	s := New(cfg)
	return &model{Sandbox: s, t: t, token: s.Token()}
}

func (m *model) do(method, path, body string, header ...string) (int, http.Header, string) {
	m.t.Helper()
	r, err := http.NewRequest(method, "http://sandbox"+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if m.gone {
		ctx, cancel := context.WithCancel(m.t.Context())
		r = r.WithContext(ctx)
		r.Body = readThen{r.Body, cancel}
	}
	response, err := m.Transport().RoundTrip(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, response.Header, string(data) + " " + err.Error()
	}
	return response.StatusCode, response.Header, string(data)
}

// readThen calls done when its body was read.
type readThen struct {
	io.ReadCloser
	done func()
}

func (r readThen) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil {
		r.done()
	}
	return n, err
}

// post calls the write method and returns status and body.
func (m *model) post(body string) (int, string) {
	m.t.Helper()
	m.n++
	status, _, answer := m.do("POST", writePath, body, "Authorization", "Bearer "+m.token, "X-Client-Request-Id", fmt.Sprint(m.n))
	return status, answer
}

func record(fields ...string) string {
	r := map[string]any{"uuid": id, "skuId": sku, "quantity": "3", "timestamp": "2024-09-16T11:59:00Z"}
	for i := 0; i < len(fields); i += 2 {
		r[fields[i]] = json.RawMessage(fields[i+1])
		if fields[i+1] == "" {
			delete(r, fields[i])
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func request(records ...string) string {
	return `{"validateOnly":false,"productId":"` + product + `","usageRecords":[` + strings.Join(records, ",") + `]}`
}

// TestMain keeps tests on this machine.
func TestMain(m *testing.M) {
	http.DefaultTransport = &http.Transport{DialContext: (&net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if host, _, _ := net.SplitHostPort(address); !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("a test dials %s", address)
		}
		return nil
	}}).DialContext}
	os.Exit(m.Run())
}

// served is a model on a port of this machine.
type served struct {
	*Sandbox
	address string
	trust   *tls.Config // of clients
}

func serve(t *testing.T, cfg Config) *served {
	t.Helper()
	server, certificate, err := Certificate(time.Now(), "sandbox.example")
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS = server
	cfg.Tokens = append(cfg.Tokens, "secret")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Sandbox: New(cfg), address: ln.Addr().String(), trust: &tls.Config{RootCAs: x509.NewCertPool()}}
	if !s.trust.RootCAs.AppendCertsFromPEM(certificate) {
		t.Fatal("the certificate cannot be read")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// client speaks HTTP/1.1 or HTTP/2 to the model, whatever host a URL names.
func (s *served) client(t *testing.T, two bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two)
	protocols.SetUnencryptedHTTP2(two)
	transport := &http.Transport{
		TLSClientConfig: s.trust.Clone(), Protocols: &protocols,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// write posts a record, as curl does with the documentation's command.
func (s *served) write(client *http.Client, url, uuid string) (status int, body string, err error) {
	text := fmt.Sprintf(`{"product_id": "%s", "usage_records": [{"uuid": "%s", "sku_id": "%s", "quantity": 1, "timestamp": "%s"}]}`,
		product, uuid, sku, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
	r, err := http.NewRequest("POST", url, strings.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(data), err
}

func (s *served) dial(t *testing.T, plain bool) *grpc.ClientConn {
	creds := credentials.NewTLS(s.trust)
	if plain {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func authorized(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer secret")
}
