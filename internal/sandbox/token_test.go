package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	now := time.Now()
	m := newModel(t, Config{TokenLife: time.Minute, Now: func() time.Time { return now }})
	good := m.token
	for _, row := range []struct {
		token, want string
		after       time.Duration
	}{
		{good, "accepted", 0},
		{good, "accepted", 59 * time.Second},
		{good, "expired", 60 * time.Second},
		{"t1.made-up", "invalid", 0},
		{"", "required", 0},
	} {
		start := now
		now = now.Add(row.after)
		m.token = row.token
		status, body := m.post(strings.Replace(request(record("timestamp", `"`+now.UTC().Format(time.RFC3339)+`"`)), "false", "true", 1))
		if (status == 401) != (row.want != "accepted") || !strings.Contains(body, row.want) {
			t.Errorf("%q after %v: %d %s", row.token, row.after, status, body)
		}
		now = start
	}
	if m.Stats().Unauthorized != 3 {
		t.Errorf("%+v", m.Stats())
	}
}

func TestMetadata(t *testing.T) {
	m := newModel(t, Config{InstanceID: "instance-1"})
	if status, _, _ := m.do("GET", metadataPath+"id", ""); status != 403 {
		t.Error("without Metadata-Flavor:", status)
	}
	if _, _, body := m.do("GET", metadataPath+"id", "", "Metadata-Flavor", "Google"); body != "instance-1" {
		t.Error(body)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Type    string `json:"token_type"`
	}
	_, _, body := m.do("GET", metadataPath+"service-accounts/default/token", "", "Metadata-Flavor", "Google")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Expires != 12*3600 || answer.Type != "Bearer" {
		t.Error(body, err)
	}
	m.token = answer.Token
	if status, body := m.post(request(record())); status != 200 {
		t.Error(status, body)
	}
	if status, _, _ := m.do("GET", metadataPath+"name", "", "Metadata-Flavor", "Google"); status != 404 {
		t.Error(status)
	}
}

func TestExchange(t *testing.T) {
	now, err := time.Parse(time.RFC3339, noon)
	if err != nil {
		t.Fatal(err)
	}
	part := func(value any) string {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	type object map[string]any
	jwt := func(header, claims object) string {
		h := object{"alg": "PS256", "kid": "key", "typ": "JWT"}
		c := object{"iss": "account", "aud": jwtAudience, "iat": now.Unix(), "exp": now.Unix() + 3600}
		maps.Copy(h, header)
		maps.Copy(c, claims)
		return part(h) + "." + part(c) + "." + part("signature")
	}
	for _, row := range []struct{ jwt, want string }{
		{jwt(nil, nil), `"iamToken":"t1.`},
		{jwt(nil, object{"aud": []string{"https://elsewhere", jwtAudience}}), `"iamToken":"t1.`},
		{jwt(nil, object{"aud": []string{"https://elsewhere"}}), "aud"},
		{jwt(nil, object{"aud": 7}), "cannot be read"},
		{jwt(object{"alg": "RS256"}, nil), "PS256"},
		{jwt(object{"kid": ""}, nil), "kid"},
		{jwt(nil, object{"iss": ""}), "iss"},
		{jwt(nil, object{"aud": "https://elsewhere"}), "aud"},
		{jwt(nil, object{"exp": now.Unix() + 3601}), "an hour"},
		{jwt(nil, object{"iat": now.Unix() + 10}), "future"},
		{jwt(nil, object{"iat": now.Unix() - 3600, "exp": now.Unix()}), "expired"},
		{"a.b", "three parts"},
		{"a.b.c", "cannot be read"},
		{"", "Field is required"},
	} {
		m := newModel(t, Config{})
		if _, _, body := m.do("POST", exchangePath, `{"jwt":"`+row.jwt+`"}`); !strings.Contains(body, row.want) {
			t.Errorf("%s; want %s", body, row.want)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]string{"key": "signature does not hold", "other": "unknown key"} {
		m := newModel(t, Config{Keys: map[string]*rsa.PublicKey{kid: &key.PublicKey}})
		if _, _, body := m.do("POST", exchangePath, `{"jwt":"`+jwt(nil, nil)+`"}`); !strings.Contains(body, want) {
			t.Errorf("%s; want %s", body, want)
		}
	}
	m := newModel(t, Config{Faults: []Fault{{Kind: FaultToken, Status: 503}}})
	if status, _, body := m.do("POST", exchangePath, `{"jwt":"x"}`); status != 503 {
		t.Error(status, body)
	}
}

func TestStaticTokens(t *testing.T) {
	now := time.Now()
	m := newModel(t, Config{Tokens: []string{"one", "two"}, Now: func() time.Time { return now }})
	body := strings.Replace(request(record()), "false", "true", 1)
	for _, after := range []time.Duration{0, 1000 * time.Hour} {
		now = now.Add(after)
		for token, want := range map[string]int{"one": 200, "two": 200, "three": 401} {
			m.token = token
			if status, answer := m.post(body); status != want {
				t.Errorf("%s after %v: %d %s", token, after, status, answer)
			}
		}
	}
	m.Revoke()
	m.token = "one"
	if status, _ := m.post(body); status != 200 {
		t.Error("a token that is good for ever was revoked")
	}
}

func TestRevoke(t *testing.T) {
	m := newModel(t, Config{})
	m.Revoke()
	if status, body := m.post(request(record())); status != 401 {
		t.Error(status, body)
	}
}

func TestReadKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(&elliptic.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := func(der []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) }
	file := filepath.Join(t.TempDir(), "key.json")
	for _, row := range []struct {
		content any
		want    string // of the error
	}{
		{map[string]string{"id": "k", "public_key": text(der)}, ""},
		{map[string]string{"id": "k", "publicKey": text(der)}, ""},
		{map[string]string{"public_key": text(der)}, "no authorized key"},
		{"a text", "no authorized key"},
		{map[string]string{"id": "k"}, "no PEM"},
		{map[string]string{"id": "k", "public_key": text([]byte("x"))}, "public_key"},
		{map[string]string{"id": "k", "public_key": text(other)}, "no RSA key"},
	} {
		data, err := json.Marshal(row.content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		id, got, err := ReadKey(file)
		if row.want == "" && (err != nil || id != "k" || !got.Equal(&key.PublicKey)) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%v: %s, %v; want %q", row.content, id, err, row.want)
		}
	}
	if _, _, err := ReadKey(file + ".none"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
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
