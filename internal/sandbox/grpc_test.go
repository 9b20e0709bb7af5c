package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestGRPCIsSpokenOverHTTP2(t *testing.T) {
	m := newModel(t, Config{})
	for _, path := range []string{"/yandex.cloud.marketplace.metering.v1.ImageProductUsageService/Write", "/yandex.cloud.marketplace.v1.metering.ImageProductUsageService/Write"} {
		if status, _, body := m.do("POST", path, "", "Content-Type", "application/grpc"); status != 415 {
			t.Error(path, status, body)
		}
	}
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

// A request without a body, or whose context is over, ends as over a network.
func TestTransport(t *testing.T) {
	m := newModel(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://sandbox/totals", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.Transport().RoundTrip(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	var totals []Total
	if err := json.NewDecoder(answer.Body).Decode(&totals); err != nil || len(totals) != 0 {
		t.Error(totals, err)
	}
	cancel()
	if answer, err := m.Transport().RoundTrip(r); err == nil {
		t.Error("a request that was given up is answered:", answer.Status)
	}
}

// raw is a codec of gRPC that sends these bytes in the place of a message.
type raw []byte

func (c raw) Marshal(any) ([]byte, error) { return c, nil }

func (raw) Unmarshal([]byte, any) error { return nil }

func (raw) Name() string { return "proto" }

func TestGRPCMessagesThatCannotBeRead(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	conn := s.dial(t, false)
	for _, method := range []string{"/yandex.cloud.marketplace.metering.v1.ImageProductUsageService/Write", "/" + tokenService.ServiceName + "/Create"} {
		err := conn.Invoke(authorized(t), method, &emptypb.Empty{}, &emptypb.Empty{}, grpc.ForceCodec(raw{0xff}))
		if code := status.Code(err); code != codes.InvalidArgument && code != codes.Internal {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// Over gRPC a reason that no version knows is a number that no version knows.
func TestGRPCFaults(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	client := metering.NewImageProductUsageServiceClient(s.dial(t, false))
	bad := &metering.WriteImageProductUsageRequest{ProductId: product, UsageRecords: []*metering.UsageRecord{{Uuid: id, SkuId: sku, Timestamp: timestamppb.Now()}}}
	s.SetFaults(Fault{Kind: FaultUnknownReason})
	if answer, err := client.Write(authorized(t), bad); err != nil || answer.GetRejected()[0].GetReason() != 42 {
		t.Error(answer, err)
	}
	s.SetFaults(Fault{Kind: FaultStatus, Status: 503, RetryAfter: 7 * time.Second})
	_, err := client.Write(authorized(t), bad)
	if s := status.Convert(err); s.Code() != codes.Unavailable || len(s.Details()) != 2 {
		t.Error(err, s.Details())
	}
}

func TestBodiesThatAreNoGRPC(t *testing.T) {
	s := serve(t, Config{AnyClient: true})
	client := s.client(t, true)
	for _, body := range []string{"", "{}", "\x01\x00\x00\x00\x00", "\x00\x00\x00\x00\x09short"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.address+"/yandex.cloud.marketplace.metering.v1.ImageProductUsageService/Write", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Authorization", "Bearer secret")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("Grpc-Status"); got != fmt.Sprint(int(codes.InvalidArgument)) {
			t.Errorf("%q: status %s", body, got)
		}
	}
}
