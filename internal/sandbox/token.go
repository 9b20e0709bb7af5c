package sandbox

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// jwtAudience is the audience that a JWT must have, by the documentation.
const jwtAudience = "https://iam.api.cloud.yandex.net/iam/v1/tokens"

// ReadKey reads the id and the public key of an authorized key's file, in either
// spelling: a key for Config.Keys.
func ReadKey(path string) (id string, key *rsa.PublicKey, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", nil, errors.Unwrap(err)
	}
	var content struct {
		ID          string
		Public      string `json:"public_key"`
		PublicCamel string `json:"publicKey"`
	}
	if json.Unmarshal(data, &content) != nil || content.ID == "" {
		return "", nil, errors.New("it is no authorized key, as `yc iam key create` writes it")
	}
	block, _ := pem.Decode([]byte(cmp.Or(content.Public, content.PublicCamel)))
	if block == nil {
		return "", nil, errors.New("its public_key is no PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("its public_key: %w", err)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return "", nil, errors.New("its public_key is no RSA key")
	}
	return content.ID, key, nil
}

// issue makes a token that is good from now on. s.mu is held.
func (s *Sandbox) issue() (token string, until time.Time) {
	token = "t1." + rand.Text() + "." + rand.Text()
	until = s.cfg.Now().Add(s.cfg.TokenLife)
	s.tokens[token] = until
	return token, until
}

// Token issues a token, as for a client that is given one.
func (s *Sandbox) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, _ := s.issue()
	return token
}

// serveMetadata is the metadata service. It hands out one token until half of
// its life is over.
func (s *Sandbox) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
		return
	}
	w.Header().Set("Metadata-Flavor", "Google")
	switch strings.TrimPrefix(r.URL.Path, metadataPath) {
	case "id":
		_, _ = io.WriteString(w, s.cfg.InstanceID)
	case "service-accounts/default/token":
		if f := s.planToken(); f != nil {
			http.Error(w, "a fault of the sandbox", f.Status)
			return
		}
		s.mu.Lock()
		token := s.metadata
		left := s.tokens[token].Sub(s.cfg.Now())
		if left < s.cfg.TokenLife/2 {
			token, _ = s.issue()
			s.metadata, left = token, s.cfg.TokenLife
		}
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "expires_in": int(left / time.Second), "token_type": "Bearer"})
	default:
		http.NotFound(w, r)
	}
}

// serveExchange is IAM's exchange over REST.
func (s *Sandbox) serveExchange(w http.ResponseWriter, r *http.Request) {
	var request struct {
		JWT         string `json:"jwt"`
		Passport    string `json:"yandexPassportOauthToken"`
		PassportOld string `json:"yandex_passport_oauth_token"`
	}
	_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request) // what cannot be read holds no token
	token, until, failed := s.exchange(request.JWT, cmp.Or(request.Passport, request.PassportOld))
	if failed != nil {
		restCodec{s}.fail(w, failed, "")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"iamToken": token, "expiresAt": until.UTC().Format(time.RFC3339Nano)})
}

// exchange issues a token for a JWT of a service account or for the OAuth token
// of a person. With keys given, only their JWTs will do.
func (s *Sandbox) exchange(jwt, passport string) (token string, until time.Time, failed *apiError) {
	if f := s.planToken(); f != nil {
		return "", until, &apiError{code: codeOf(f.Status), status: f.Status, message: "a fault of the sandbox"}
	}
	var wrong error
	switch {
	case jwt == "" && passport == "":
		return "", until, invalid("jwt: Field is required")
	case jwt != "":
		wrong = s.checkJWT(jwt)
	case s.cfg.Keys != nil:
		wrong = errors.New("an authorized key is asked for, and an OAuth token was given")
	}
	if wrong != nil {
		return "", until, &apiError{code: codes.Unauthenticated, status: http.StatusUnauthorized, message: "JWT: " + wrong.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token, until = s.issue()
	return token, until.Add(s.cfg.Skew), nil
}

// checkJWT checks a JWT as the documentation describes it: PS256 with a salt
// as long as the hash, a key known by its id, and claims that hold now.
func (s *Sandbox) checkJWT(text string) error {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return errors.New("it must have three parts")
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss      string
		Aud      audience
		Iat, Exp int64
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil {
		return errors.New("it cannot be read")
	}
	now := s.now()
	switch {
	case header.Alg != "PS256":
		return errors.New("alg must be PS256")
	case header.Kid == "":
		return errors.New("kid is missing")
	case claims.Iss == "":
		return errors.New("iss is missing")
	case !slices.Contains(claims.Aud, jwtAudience):
		return errors.New("aud must be " + jwtAudience)
	case claims.Exp > claims.Iat+3600:
		return errors.New("exp is more than an hour after iat")
	case now.Add(5 * time.Second).Before(time.Unix(claims.Iat, 0)):
		return errors.New("iat is in the future")
	case !now.Before(time.Unix(claims.Exp, 0)):
		return errors.New("it has expired")
	case s.cfg.Keys == nil:
		return nil
	}
	key, ok := s.cfg.Keys[header.Kid]
	if !ok {
		return errors.New("unknown key id")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) != nil {
		return errors.New("the signature does not hold")
	}
	return nil
}

// audience is one name or a list of them, as RFC 7519 has it: SDKs send a list.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

func decodePart(text string, to any) error {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}
