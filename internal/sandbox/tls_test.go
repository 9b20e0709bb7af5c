package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/yandex-cloud/go-genproto/yandex/cloud/endpoint"
	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	deprecated "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/v1/metering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

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

// A client may speak TLS or plain text, HTTP/1.1 or HTTP/2, and either package;
// what the documentation shows is no mistake.
func TestDocumentedRequests(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	n := 0
	for _, host := range []string{"https://marketplace.api.cloud.yandex.net", "https://localhost", "https://sandbox.example", "http://localhost"} {
		for _, path := range []string{writePath, oldWritePath} {
			for _, two := range []bool{false, true} {
				n++
				if status, body, err := s.write(s.client(t, two), host+path, uuid.NewString()); err != nil || status != 200 || !strings.Contains(body, `"rejected":[]`) {
					t.Errorf("%s%s, HTTP/2 %v: %d %s, %v", host, path, two, status, body, err)
				}
			}
		}
	}
	if got := len(s.Records()); got != n {
		t.Errorf("%d records are stored, want %d", got, n)
	}
	if problems := append(s.Violations(), s.Conflicts()...); len(problems) > 0 {
		t.Error(problems)
	}
	if _, _, err := s.write(s.client(t, true), "https://elsewhere.example"+writePath, uuid.NewString()); err == nil {
		t.Error("the certificate is good for any host")
	}
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

func TestGRPC(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	for _, plain := range []bool{false, true} {
		conn := s.dial(t, plain)
		now := timestamppb.Now()
		first, second := uuid.NewString(), uuid.NewString()
		answer, err := metering.NewImageProductUsageServiceClient(conn).Write(authorized(t), &metering.WriteImageProductUsageRequest{
			ProductId: product, UsageRecords: []*metering.UsageRecord{{Uuid: first, SkuId: sku, Quantity: 1, Timestamp: now}},
		})
		if err != nil || len(answer.GetAccepted()) != 1 || answer.GetAccepted()[0].GetUuid() != first {
			t.Error(answer, err)
		}
		old, err := deprecated.NewImageProductUsageServiceClient(conn).Write(authorized(t), &deprecated.WriteImageProductUsageRequest{
			ProductId: product, UsageRecords: []*deprecated.UsageRecord{{Uuid: second, SkuId: sku, Quantity: 1, Timestamp: now}, {Uuid: first, SkuId: sku, Quantity: 1, Timestamp: now}},
		})
		if err != nil || len(old.GetAccepted()) != 1 || len(old.GetRejected()) != 1 || old.GetRejected()[0].GetReason() != deprecated.RejectedUsageRecord_DUPLICATE {
			t.Error(old, err)
		}
		if _, err := metering.NewImageProductUsageServiceClient(conn).Write(t.Context(), &metering.WriteImageProductUsageRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Error("without a token:", err)
		}
		endpoints := endpoint.NewApiEndpointServiceClient(conn)
		list, err := endpoints.List(t.Context(), &endpoint.ListApiEndpointsRequest{})
		if err != nil || len(list.GetEndpoints()) != len(endpointIDs) || list.GetEndpoints()[1].GetAddress() != s.address {
			t.Error(list, err)
		}
		if one, err := endpoints.Get(t.Context(), &endpoint.GetApiEndpointRequest{ApiEndpointId: "marketplace"}); err != nil || one.GetAddress() != s.address {
			t.Error(one, err)
		}
		if _, err := endpoints.Get(t.Context(), &endpoint.GetApiEndpointRequest{ApiEndpointId: "compute"}); status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		err = conn.Invoke(t.Context(), "/"+tokenService.ServiceName+"/Revoke", &endpoint.ApiEndpoint{}, &endpoint.ApiEndpoint{})
		if status.Code(err) != codes.Unimplemented {
			t.Error("a method that is not modelled:", err)
		}
	}
}

// create calls IamTokenService with one field of the request set.
func create(t *testing.T, conn *grpc.ClientConn, field, value string) (token string, err error) {
	of := iamFile.Messages()
	request := dynamicpb.NewMessage(of.ByName("CreateIamTokenRequest"))
	if field != "" {
		name := request.Descriptor().Fields().ByTextName(field)
		request.Set(name, protoreflect.ValueOfString(value))
	}
	answer := dynamicpb.NewMessage(of.ByName("CreateIamTokenResponse"))
	err = conn.Invoke(t.Context(), "/"+tokenService.ServiceName+"/Create", request, answer)
	return answer.Get(answer.Descriptor().Fields().ByName("iam_token")).String(), err
}

func TestIamTokenService(t *testing.T) {
	s := serve(t, Config{})
	conn := s.dial(t, false)
	token, err := create(t, conn, "yandex_passport_oauth_token", "y0_person")
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "x-client-request-id", "1")
	if _, err := metering.NewImageProductUsageServiceClient(conn).Write(ctx, &metering.WriteImageProductUsageRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Error("a token that was issued is not good:", err)
	}
	for field, want := range map[string]codes.Code{"": codes.InvalidArgument, "jwt": codes.Unauthenticated} {
		if _, err := create(t, conn, field, "no.jwt.atall"); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", field, err, want)
		}
	}
	s.SetFaults(Fault{Kind: FaultToken, Status: 503})
	if _, err := create(t, conn, "jwt", "x"); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// reflected asks by reflection and returns the answer.
func reflected(t *testing.T, conn *grpc.ClientConn, r *reflection.ServerReflectionRequest) *reflection.ServerReflectionResponse {
	t.Helper()
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.Send(r), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestReflection(t *testing.T) {
	conn := serve(t, Config{}).dial(t, false)
	list := reflected(t, conn, &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}})
	var names []string
	for _, service := range list.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	all := strings.Join(names, " ")
	for _, want := range []string{metering.ImageProductUsageService_ServiceDesc.ServiceName, deprecated.ImageProductUsageService_ServiceDesc.ServiceName, tokenService.ServiceName, "yandex.cloud.endpoint.ApiEndpointService"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not listed in %s", want, all)
		}
		found := reflected(t, conn, &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: want}})
		files := found.GetFileDescriptorResponse().GetFileDescriptorProto()
		if len(files) == 0 {
			t.Errorf("%s is described by nothing: %v", want, found)
			continue
		}
		var file descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(files[0], &file); err != nil || len(file.GetService()) == 0 {
			t.Errorf("%s: %v, %v", want, &file, err)
		}
	}
	path := reflected(t, conn, &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileByFilename{FileByFilename: iamFile.Path()}})
	if len(path.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Error(path)
	}
}

// What a client's transport makes of a reset is its own; what the model stored,
// and how often it was asked, is what the fault says.
func TestResets(t *testing.T) {
	for _, row := range []struct {
		fault  string
		two    bool
		err    string // "": the transport sends again by itself, and is answered
		stored int
		asked  int
	}{
		{"reset-before=refused-stream,times=1", true, "", 1, 2},
		{"reset-after=refused-stream,times=1", true, "", 1, 2},
		{"reset-after=protocol-error,times=1", true, "", 1, 2},
		{"goaway-before,times=1", true, "", 1, 2},
		{"goaway-after,times=1", true, "", 1, 2},
		{"reset-before=cancel", true, "CANCEL", 0, 1},
		{"reset-after=enhance-your-calm", true, "ENHANCE_YOUR_CALM", 1, 1},
		{"drop-after", true, "INTERNAL_ERROR", 1, 1},
		{"reset-after=refused-stream", false, "EOF", 1, 1},
		{"goaway-before", false, "EOF", 0, 1},
	} {
		fault, err := ParseFault(row.fault)
		if err != nil {
			t.Fatal(err)
		}
		for _, scheme := range []string{"https", "http"} {
			s := serve(t, Config{AnyClient: true, Faults: []Fault{fault}})
			_, body, err := s.write(s.client(t, row.two), scheme+"://localhost"+writePath, uuid.NewString())
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s, %s: %s, %v; want %q", row.fault, scheme, body, err, row.err)
			}
			if got := s.Stats().Requests; len(s.Records()) != row.stored || got != row.asked {
				t.Errorf("%s, %s: %d records of %d requests are stored, want %d of %d", row.fault, scheme, len(s.Records()), got, row.stored, row.asked)
			}
			if problems := append(s.Violations(), s.Conflicts()...); len(problems) > 0 {
				t.Errorf("%s: the client did nothing wrong, and the model says %v", row.fault, problems)
			}
		}
	}
}

// Frames are understood however the server cuts them.
func TestFramesInPieces(t *testing.T) {
	data := []byte{0, 0, 3, 0, 1, 0, 0, 0, 1, 'a', 'b', 'c'}
	rst := func(stream, code byte) []byte { return []byte{0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, code} }
	in := append(append(append(append([]byte{}, data...), rst(5, 2)...), rst(7, 2)...), rst(9, 8)...)
	want := append(append(append(append([]byte{}, data...), rst(5, 7)...), 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0), rst(9, 8)...)
	for size := 1; size <= len(in); size++ {
		c := &conn{resets: []reset{{code: 7}, {goAway: true}}}
		var out []byte
		for i := 0; i < len(in); i += size {
			out = append(out, c.frames(in[i:min(i+size, len(in))])...)
		}
		if string(out) != string(want) {
			t.Errorf("in pieces of %d: % x, want % x", size, out, want)
		}
	}
	c := &conn{}
	if out := c.frames(rst(5, 2)); string(out) != string(rst(5, 2)) {
		t.Errorf("a reset that no fault asks for becomes % x", out)
	}
}

func TestEndpointsOverREST(t *testing.T) {
	m := newModel(t, Config{})
	_, _, body := m.do("GET", "/endpoints", "")
	var list struct {
		Endpoints []struct{ ID, Address string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Endpoints) != len(endpointIDs) || list.Endpoints[0].Address != "sandbox" {
		t.Error(body, err)
	}
	if _, _, body := m.do("GET", "/endpoints/iam", ""); !strings.Contains(body, `"id":"iam","address":"sandbox"`) {
		t.Error(body)
	}
	if status, _, body := m.do("GET", "/endpoints/compute", ""); status != 404 || !strings.Contains(body, `"code":5`) {
		t.Error(status, body)
	}
}
