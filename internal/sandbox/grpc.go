package sandbox

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// grpcCodec speaks gRPC over HTTP/2 for a method with one message each way:
// a message behind five bytes (a flag and its length), the status in the
// trailer. Spoken by hand it shares the faults with REST.
type grpcCodec struct{}

func (grpcCodec) read(body []byte) (r writeRequest, complaints []string, failed *apiError) {
	if len(body) < 5 || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-5 {
		return r, []string{"a body that is no gRPC message"}, invalid("the body is no plain gRPC message")
	}
	var message metering.WriteImageProductUsageRequest
	if proto.Unmarshal(body[5:], &message) != nil {
		return r, []string{"a body that is no WriteImageProductUsageRequest"}, invalid("the message cannot be read")
	}
	r.validateOnly, r.productID = message.GetValidateOnly(), message.GetProductId()
	for _, m := range message.GetUsageRecords() {
		record := usageRecord{uuid: m.GetUuid(), sku: m.GetSkuId(), quantity: m.GetQuantity()}
		if m.GetTimestamp() != nil {
			record.timestamp = m.GetTimestamp().AsTime()
		}
		r.records = append(r.records, record)
	}
	return r, nil, nil
}

func (grpcCodec) encode(a answer, _ plan) []byte {
	message := &metering.WriteImageProductUsageResponse{}
	for _, r := range a.accepted {
		message.Accepted = append(message.Accepted, &metering.AcceptedUsageRecord{Uuid: r.uuid})
	}
	for _, r := range a.rejected {
		n, ok := metering.RejectedUsageRecord_Reason_value[r.reason]
		if !ok {
			n = 42
		}
		message.Rejected = append(message.Rejected, &metering.RejectedUsageRecord{Uuid: r.uuid, Reason: metering.RejectedUsageRecord_Reason(n)})
	}
	data, err := proto.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // of a message made here
	}
	return data
}

func (c grpcCodec) answer(w http.ResponseWriter, a answer, p plan) { c.write(w, c.encode(a, p)) }

// write sends a message as a whole answer.
func (grpcCodec) write(w http.ResponseWriter, message []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	if length := h.Get("Content-Length"); length != "" { // of the message, for a fault that cuts it off
		h.Del("Content-Length")
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	_, _ = w.Write(append(frame, message...)) // the client may have gone
	h.Set(http.TrailerPrefix+"Grpc-Status", "0")
}

// refusal returns an empty message, which is gRPC's body of an error.
func (grpcCodec) refusal() []byte { return nil }

// fail sends a status alone, in what gRPC calls trailers only.
func (grpcCodec) fail(w http.ResponseWriter, e *apiError, requestID string) {
	s, err := status.New(e.code, e.message).WithDetails(&errdetails.RequestInfo{RequestId: requestID})
	if err == nil && e.retryAfter > 0 {
		s, err = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.retryAfter)})
	}
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // of a status made here
	}
	details, err := proto.Marshal(s.Proto())
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // of a status made here
	}
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(e.code)))
	h.Set("Grpc-Message", strings.ReplaceAll(url.QueryEscape(e.message), "+", "%20"))
	h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	w.WriteHeader(http.StatusOK)
}
