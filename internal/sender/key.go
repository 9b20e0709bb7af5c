package sender

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DefaultIAMEndpoint is where IAM exchanges keys for tokens unless the
// configuration says otherwise.
const DefaultIAMEndpoint = "https://iam.api.cloud.yandex.net"

const (
	exchangePath    = "/iam/v1/tokens"
	exchangeTimeout = 30 * time.Second

	// jwtAudience is the audience of a JWT by the documentation. It is the same
	// for every host.
	jwtAudience = DefaultIAMEndpoint + exchangePath
	jwtLifetime = time.Hour // the longest that IAM takes
)

// KeyConfig says how tokens are got for an authorized key.
type KeyConfig struct {
	File     string            // the key, as `yc iam key create` writes it; not to be read by everybody
	Endpoint string            // of IAM; "": DefaultIAMEndpoint
	CAFile   string            // PEM certificates to trust beside the system's; "": none
	HTTP     http.RoundTripper // nil: a transport of its own
	Log      *slog.Logger      // nil: slog.Default
}

// KeyTokens returns the tokens of an authorized key's service account, cached.
// It reads and checks the key file and connects nowhere; an error is one of
// the configuration. Each exchange reads the file again, so the key may be replaced
// at any time.
func KeyTokens(cfg KeyConfig) (TokenSource, error) {
	if _, err := readKey(cfg.File); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	endpoint, err := parseEndpoint(orDefault(cfg.Endpoint, DefaultIAMEndpoint))
	if err != nil {
		return nil, fmt.Errorf("sender: IAM endpoint: %w", err)
	}
	e := &exchange{file: cfg.File, url: endpoint.String() + exchangePath, http: cfg.HTTP}
	if e.http == nil {
		if e.http, err = newTransport(cfg.CAFile, http.ProxyFromEnvironment, nil); err != nil {
			return nil, fmt.Errorf("sender: %w", err)
		}
	}
	return &cache{fetch: e.token, log: orDefault(cfg.Log, slog.Default())}, nil
}

// key is an authorized key of a service account.
type key struct {
	id, account string
	private     *rsa.PrivateKey
}

// makeKey says how to make a key file.
const makeKey = "; make one with `yc iam key create --service-account-name NAME --output FILE`"

// readKey reads a key file in either spelling. Its errors hold nothing of the
// content.
func readKey(path string) (key, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return key{}, fmt.Errorf("key file: %w%s", err, makeKey)
	} else if err != nil {
		return key{}, fmt.Errorf("key file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return key{}, fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return key{}, fmt.Errorf("key file %s: every user of this machine has access to it (mode %04o); chmod 600 it, or 640 with the service's group", path, info.Mode().Perm())
	}
	data, err := readAllSmall(file)
	if err != nil {
		return key{}, fmt.Errorf("key file: %w", err)
	}
	var content struct {
		ID           string `json:"id"`
		Account      string `json:"service_account_id"`
		AccountCamel string `json:"serviceAccountId"`
		Private      string `json:"private_key"`
		PrivateCamel string `json:"privateKey"`
	}
	if json.Unmarshal(data, &content) != nil {
		return key{}, fmt.Errorf("key file %s: it is not the JSON of an authorized key%s", path, makeKey)
	}
	k := key{id: content.ID, account: orDefault(content.Account, content.AccountCamel)}
	pem := orDefault(content.Private, content.PrivateCamel)
	var missing []string
	for _, field := range []struct{ name, value string }{{"id", k.id}, {"service_account_id", k.account}, {"private_key", pem}} {
		if field.value == "" {
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return key{}, fmt.Errorf("key file %s: it lacks %s%s", path, strings.Join(missing, ", "), makeKey)
	}
	// A line before the PEM warns not to remove it. PEM decoding skips that line.
	if k.private, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(pem)); err != nil {
		return key{}, fmt.Errorf("key file %s: private_key is no RSA key in PEM%s", path, makeKey)
	}
	return k, nil
}

// jwt signs a request for a token, issued at a time of IAM's clock.
func (k key) jwt(issued time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"iss": k.account,
		"aud": jwtAudience,
		"iat": issued.Unix(),
		"exp": issued.Add(jwtLifetime).Unix(),
	})
	t.Header["kid"] = k.id
	return t.SignedString(k.private)
}

// exchange gets tokens from IAM for a key. It is used by one goroutine at a
// time: its cache's renewal.
type exchange struct {
	file string
	url  string
	http http.RoundTripper
	skew time.Duration // IAM's clock minus ours, as far as it had to be known
}

// token asks IAM for a token. A JWT that IAM refuses while the clocks differ
// is made out again by IAM's clock.
func (e *exchange) token(ctx context.Context) (token, error) {
	k, err := readKey(e.file)
	if err != nil {
		return token{}, err
	}
	t, skew, err := e.ask(ctx, k)
	if err == nil || ctx.Err() != nil || (skew-e.skew).Abs() < 2*time.Second {
		return t, err
	}
	e.skew = skew
	t, _, err = e.ask(ctx, k)
	return t, err
}

// ask makes one request. skew is IAM's clock minus ours, e.skew where the
// answer does not tell.
func (e *exchange) ask(ctx context.Context, k key) (t token, skew time.Duration, err error) {
	skew = e.skew
	signed, err := k.jwt(time.Now().Add(e.skew))
	if err != nil {
		return t, skew, errors.New("IAM: the key cannot sign")
	}
	body, err := json.Marshal(map[string]string{"jwt": signed})
	if err != nil {
		return t, skew, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, exchangeTimeout, fmt.Errorf("no answer within %v: %w", exchangeTimeout, context.DeadlineExceeded))
	defer cancel()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return t, skew, err
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Accept", "application/json")
	got, err := roundTrip(e.http, post)
	if err == nil {
		err = got.err
	}
	if err != nil {
		return t, skew, fmt.Errorf("IAM: %w", redactError(err, signed))
	}
	date, dateErr := http.ParseTime(got.header.Get("Date"))
	if dateErr == nil && got.status < 500 {
		skew = time.Until(date)
	}
	if got.status != http.StatusOK {
		return t, skew, fmt.Errorf("IAM: %d %s", got.status, iamMessage(got, signed))
	}
	var answer struct {
		Value        string    `json:"iamToken"`
		ValueSnake   string    `json:"iam_token"`
		Expires      time.Time `json:"expiresAt"`
		ExpiresSnake time.Time `json:"expires_at"`
	}
	if json.Unmarshal(got.body, &answer) != nil { // whose errors might repeat a part of it
		return t, e.skew, errors.New("IAM: the answer cannot be read")
	}
	value := orDefault(answer.Value, answer.ValueSnake)
	if err := checkToken(value); err != nil {
		return t, e.skew, fmt.Errorf("IAM: %w", err)
	}
	lifetime := time.Hour // where IAM does not say; the documentation speaks of 12
	if expires := orDefault(answer.Expires, answer.ExpiresSnake); !expires.IsZero() {
		lifetime = seconds(expires.Sub(time.Now().Add(skew)).Seconds())
	}
	return newToken(value, lifetime), skew, nil
}

func iamMessage(got httpAnswer, secret string) string {
	var body struct{ Message string }
	if json.Unmarshal(got.body, &body) == nil && body.Message != "" {
		return excerpt(body.Message, 200, secret)
	}
	return excerpt(string(got.body), 100, secret)
}
