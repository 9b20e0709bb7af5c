package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/yandex-cloud/go-genproto/yandex/cloud/endpoint"
	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	deprecated "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/v1/metering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// services returns the methods of gRPC beside Write: the ones that clients call
// before it. Write itself is spoken by hand, so that faults can spoil it.
func (s *Sandbox) services() *grpc.Server {
	server := grpc.NewServer()
	server.RegisterService(&tokenService, s)
	endpoint.RegisterApiEndpointServiceServer(server, endpointService{})
	options := reflection.ServerOptions{Services: described{server}, DescriptorResolver: descriptors{protoregistry.GlobalFiles}}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(options))
	return server
}

// described adds the services that this package speaks by hand to the server's own.
type described struct{ *grpc.Server }

func (d described) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := d.Server.GetServiceInfo()
	for _, by := range []grpc.ServiceDesc{metering.ImageProductUsageService_ServiceDesc, deprecated.ImageProductUsageService_ServiceDesc} {
		info[by.ServiceName] = grpc.ServiceInfo{Metadata: by.Metadata}
	}
	return info
}

// endpointIDs are the modelled services of the cloud, by the names that SDKs ask for.
var endpointIDs = []string{"endpoint", "iam", "marketplace"}

// endpointService says where the services of the cloud are: all are here, under the
// host name that the client has used.
type endpointService struct {
	endpoint.UnimplementedApiEndpointServiceServer
}

func (endpointService) List(ctx context.Context, _ *endpoint.ListApiEndpointsRequest) (*endpoint.ListApiEndpointsResponse, error) {
	answer := &endpoint.ListApiEndpointsResponse{}
	for _, id := range endpointIDs {
		answer.Endpoints = append(answer.Endpoints, &endpoint.ApiEndpoint{Id: id, Address: authority(ctx)})
	}
	return answer, nil
}

func (endpointService) Get(ctx context.Context, r *endpoint.GetApiEndpointRequest) (*endpoint.ApiEndpoint, error) {
	if !slices.Contains(endpointIDs, r.GetApiEndpointId()) {
		return nil, status.Errorf(codes.NotFound, "endpoint %s not found", r.GetApiEndpointId())
	}
	return &endpoint.ApiEndpoint{Id: r.GetApiEndpointId(), Address: authority(ctx)}, nil
}

func authority(ctx context.Context) string {
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(":authority")) > 0 {
		return md.Get(":authority")[0]
	}
	return ""
}

// serveEndpoints is ApiEndpointService over REST.
func (s *Sandbox) serveEndpoints(w http.ResponseWriter, r *http.Request) {
	type place struct {
		ID      string `json:"id"`
		Address string `json:"address"`
	}
	var answer any
	if id := r.PathValue("id"); id != "" {
		if !slices.Contains(endpointIDs, id) {
			restCodec{s}.fail(w, &apiError{code: codes.NotFound, status: http.StatusNotFound, message: "endpoint " + id + " not found"}, "")
			return
		}
		answer = place{id, r.Host}
	} else {
		places := []place{}
		for _, id := range endpointIDs {
			places = append(places, place{id, r.Host})
		}
		answer = map[string]any{"endpoints": places}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}
