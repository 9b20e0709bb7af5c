package sandbox

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMalformedFailsAll(t *testing.T) {
	for want, bad := range map[string]string{
		"usage_records[1].uuid: Field value must be a UUID":             record("uuid", `"seventeen"`),
		"usage_records[1].quantity: Field value must be greater than 0": record("quantity", "0"),
	} {
		m := newModel(t, Config{MalformedFailsAll: true})
		if code, body := m.post(request(record(), bad)); code != 400 || !strings.Contains(body, want) || len(m.Records()) != 0 {
			t.Errorf("%d %s, %d stored; want %s", code, body, len(m.Records()), want)
		}
	}
}

// With DuplicateLast a uuid that is taken is refused for every other reason first.
func TestDuplicateLast(t *testing.T) {
	m := newModel(t, Config{DuplicateLast: true})
	m.post(request(record()))
	for reason, again := range map[string]string{"DUPLICATE": record(), "INVALID_QUANTITY": record("quantity", "0"), "EXPIRED": record("timestamp", `"2024-09-16T10:00:00Z"`)} {
		if code, body := m.post(request(again)); code != 200 || !strings.Contains(body, `"reason":"`+reason+`"`) {
			t.Errorf("%d %s; want %s", code, body, reason)
		}
	}
}

// The faults of answers also reach rejected records.
func TestFaultsOfRejections(t *testing.T) {
	bad := request(record("quantity", "0"))
	for fault, want := range map[string]string{
		"omit":           `{"accepted":[],"rejected":[]}`,
		"upper":          strings.ToUpper(id),
		"unknown-reason": "INVALID_PHASE_OF_MOON",
		"twice":          `"INVALID_QUANTITY","uuid":"` + id + `"},{`,
	} {
		m := newModel(t, Config{})
		f, err := ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		m.SetFaults(f)
		if code, body := m.post(bad); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s; want %s", fault, code, body, want)
		}
	}
}

// A fault of tokens fails the metadata service, too, and an OAuth token is refused
// where authorized keys are asked for.
func TestTokensThatAreRefused(t *testing.T) {
	m := newModel(t, Config{Keys: map[string]*rsa.PublicKey{}})
	if code, _, body := m.do("POST", exchangePath, `{"yandexPassportOauthToken":"y0_person"}`); code != 401 || !strings.Contains(body, "an authorized key is asked for") {
		t.Error(code, body)
	}
	m.SetFaults(Fault{Kind: FaultToken, Status: 503})
	if code, _, body := m.do("GET", metadataPath+"service-accounts/default/token", "", "Metadata-Flavor", "Google"); code != 503 {
		t.Error(code, body)
	}
}

// The page lists the minutes of a SKU, the latest first, and no more than an hour.
func TestPageListsMinutes(t *testing.T) {
	now, err := time.Parse(time.RFC3339, noon)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, Config{MaxAge: 3 * time.Hour})
	for i := range 70 {
		at := now.Add(-time.Duration(i) * time.Minute).Format(time.RFC3339)
		m.post(request(record("uuid", fmt.Sprintf(`"6da9b1a4-7a2e-4c7b-8f0e-%012d"`, i), "timestamp", `"`+at+`"`)))
	}
	view := viewSKU(m.Totals()[0], m.Records(), now)
	if len(view.Minutes) != shownMinutes || !view.Minutes[0].At.Equal(now) || !view.Minutes[1].At.Equal(now.Add(-time.Minute)) {
		t.Errorf("%d minutes, from %v", len(view.Minutes), view.Minutes[0].At)
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
func (raw) Unmarshal([]byte, any) error   { return nil }
func (raw) Name() string                  { return "proto" }

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

// With keys given, the signature of a JWT must hold.
func TestSignedJWT(t *testing.T) {
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, Config{Keys: map[string]*rsa.PublicKey{"key": &own.PublicKey}})
	now := m.cfg.Now().Unix()
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"PS256","kid":"key","typ":"JWT"}`)) + "." + encode(fmt.Appendf(nil, `{"iss":"account","aud":%q,"iat":%d,"exp":%d}`, jwtAudience, now, now+3600))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPSS(rand.Reader, own, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, body := m.do("POST", exchangePath, `{"jwt":"`+signed+"."+encode(signature)+`"}`); code != 200 {
		t.Error(code, body)
	}
	signature[0] ^= 1
	if code, _, body := m.do("POST", exchangePath, `{"jwt":"`+signed+"."+encode(signature)+`"}`); code != 401 || !strings.Contains(body, "the signature does not hold") {
		t.Error(code, body)
	}
}
