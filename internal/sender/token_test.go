package sender

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

// source is a source of tokens that counts and can fail.
type source struct {
	mu       sync.Mutex
	fetched  int
	lifetime time.Duration
	takes    time.Duration
	err      error
	same     bool // always the same token
}

func (s *source) fetch(ctx context.Context) (token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched++
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return token{}, ctx.Err()
	}
	if s.err != nil {
		return token{}, s.err
	}
	n := s.fetched
	if s.same {
		n = 1
	}
	return newToken(fmt.Sprintf("t1.token-%d", n), s.lifetime), nil
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched
}

func newCache(t *testing.T, s *source) *cache {
	c := &cache{fetch: s.fetch, log: quiet}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask asks for a token each interval and fails where none is had or a dead one.
func ask(t *testing.T, c *cache, every time.Duration, times int) {
	t.Helper()
	for range times {
		value, err := c.Token(t.Context())
		if err != nil || value == "" {
			t.Fatalf("%q, %v", value, err)
		}
		time.Sleep(every)
		synctest.Wait()
	}
}

func TestTokenIsRenewedHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{lifetime: 12 * time.Hour, takes: 3 * time.Second}
		c := newCache(t, s)
		ask(t, c, time.Minute, 24*60)
		if n := s.count(); n < 23 || n > 24 {
			t.Errorf("%d renewals a day", n)
		}
	})
}

func TestShortTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{lifetime: 20 * time.Second}
		c := newCache(t, s)
		ask(t, c, time.Second, 200)
		if n := s.count(); n < 10 || n > 16 {
			t.Errorf("%d renewals in 200 s", n)
		}
		time.Sleep(time.Minute)
		before := s.count()
		ask(t, c, time.Minute, 10)
		if n := s.count() - before; n != 10 {
			t.Errorf("%d renewals in 10 min of one request each", n)
		}
	})
}

func TestFailedRenewalKeepsTheOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{lifetime: 2 * time.Hour}
		c := newCache(t, s)
		ask(t, c, time.Minute, 1)
		s.err = errors.New("out of order")
		ask(t, c, time.Minute, 118)
		if n := s.count(); n < 20 || n > 70 {
			t.Errorf("%d renewals tried in the second hour", n)
		}
		time.Sleep(2 * time.Minute)
		if value, err := c.Token(t.Context()); !errors.Is(err, s.err) {
			t.Errorf("after its end: %q, %v", value, err)
		}
		s.err = nil
		ask(t, c, time.Minute, 1)
	})
}

func TestOneRenewalAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{lifetime: time.Hour, takes: time.Second}
		c := newCache(t, s)
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if value, err := c.Token(t.Context()); value != "t1.token-1" || err != nil {
					t.Error(value, err)
				}
			})
		}
		wait.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("%d renewals for ten at once", n)
		}
		for range 10 {
			wait.Go(func() {
				if value, err := c.Refresh(t.Context(), "t1.token-1"); value != "t1.token-2" || err != nil {
					t.Error(value, err)
				}
			})
		}
		wait.Wait()
		if n := s.count(); n != 2 {
			t.Errorf("%d renewals after ten refusals at once", n)
		}
		if value, err := c.Refresh(t.Context(), "t1.token-1"); value != "t1.token-2" || err != nil || s.count() != 2 {
			t.Error("a late refusal of the old token:", value, err)
		}
	})
}

func TestCloseEndsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Hour}
		c := newCache(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		start := time.Now()
		c.Close()
		if time.Since(start) != 0 {
			t.Error("Close waited")
		}
		if _, err := c.Token(t.Context()); !errors.Is(err, context.Canceled) {
			t.Error("after Close:", err)
		}
	})
}

// The API refuses a token before its time: one refusal, one renewal, and the
// delivery goes through.
func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{})
		s := connect(t, transport, box, Config{})
		for range 3 {
			results, err := s.Send(t.Context(), records(2))
			if err != nil || results[1].State != meter.Accepted {
				t.Fatal(results, err)
			}
			box.Revoke()
		}
		if stats := box.Stats(); stats.Unauthorized != 2 || stats.Requests != 5 {
			t.Errorf("%+v", stats)
		}
		// A DUPLICATE after a 401 is a DUPLICATE at the first attempt.
		list := records(1)
		if _, err := s.Send(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		box.Revoke()
		results, _ := s.Send(t.Context(), list)
		if results[0].State != meter.Refused || results[0].Reason != duplicate {
			t.Errorf("%+v", results[0])
		}
	})
}

// Several deliveries under way at a time share a token and its renewal.
func TestDeliveriesAtATime(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{})
		s := connect(t, transport, box, Config{})
		var deliveries sync.WaitGroup
		for range 8 {
			deliveries.Go(func() {
				for range 10 {
					results, err := s.Send(t.Context(), records(3))
					for i := 0; err != nil && i < 100; i++ { // revoked again by another while it was renewed
						results, err = s.Send(t.Context(), records(3))
					}
					if err != nil || results[2].State != meter.Accepted {
						t.Error(results, err)
					}
					box.Revoke()
				}
			})
		}
		deliveries.Wait()
		if n := len(box.Records()); n != 8*10*3 {
			t.Errorf("%d stored", n)
		}
	})
}

func TestForbidden(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{AnyToken: true, Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 403}}})
		from := &source{lifetime: time.Hour}
		s := connect(t, transport, box, Config{Tokens: newCache(t, from)})
		results, err := s.Send(t.Context(), records(2))
		checkFate(t, "403", results, err, loud)
		if box.Stats().Requests != 2 || from.count() != 2 {
			t.Errorf("%d requests, %d tokens; want 2 and 2", box.Stats().Requests, from.count())
		}
		from.same = true
		s.Send(t.Context(), records(2))
		before := box.Stats().Requests
		s.Send(t.Context(), records(2))
		if n := box.Stats().Requests - before; n != 1 {
			t.Errorf("%d requests with a token that stays the same", n)
		}
		from.err = errors.New("out of order")
		results, err = s.Send(t.Context(), records(2))
		checkFate(t, "403 and no token", results, err, loud)
		if !errors.Is(err, from.err) || err.(*Error).Status != 403 {
			t.Error(err)
		}
	})
}

func TestNoToken(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		for _, status := range []int{400, 404, 500, 503} {
			box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultToken, Status: status, Times: 1}}})
			s := connect(t, transport, box, Config{})
			results, err := s.Send(t.Context(), records(1))
			checkFate(t, fmt.Sprint("metadata ", status), results, err, wait)
			if !errors.Is(err, ErrNoToken) || box.Stats().Requests != 0 {
				t.Error(err)
			}
			if results, err := s.Send(t.Context(), records(1)); err != nil || results[0].State != meter.Accepted {
				t.Error(results, err)
			}
		}
	})
}

func TestTokensOf20SecondsWithoutRefusals(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{TokenLife: 20 * time.Second})
		s := connect(t, transport, box, Config{})
		for range 300 {
			if _, err := s.Send(t.Context(), records(1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(700 * time.Millisecond)
		}
		if stats := box.Stats(); stats.Unauthorized != 0 || len(box.Records()) != 300 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestMetadataAddress(t *testing.T) {
	var asked []string
	m := &Metadata{HTTP: answers(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Host+r.URL.Path)
		if r.Header.Get("Metadata-Flavor") != "Google" {
			t.Error("no Metadata-Flavor")
		}
		return response(200, "instance-1\n"), nil
	})}
	for _, addr := range []string{"", "10.0.0.7", "127.0.0.1:8080", "http://127.0.0.1:8080/"} {
		t.Setenv(metadataVariable, addr)
		if id, err := m.InstanceID(t.Context()); id != "instance-1" || err != nil {
			t.Error(id, err)
		}
	}
	m.Addr = "[::1]:80"
	m.InstanceID(t.Context())
	const path = "/computeMetadata/v1/instance/id "
	if got, want := strings.Join(asked, " ")+" ", "169.254.169.254"+path+"10.0.0.7"+path+"127.0.0.1:8080"+path+"127.0.0.1:8080"+path+"[::1]:80"+path; got != want {
		t.Errorf("asked %s\nwant %s", got, want)
	}
}

// The API is reached through the environment's proxies, the metadata service
// never.
func TestProxies(t *testing.T) {
	s := must(New(Config{Tokens: fixedToken("t"), Log: quiet}))
	defer s.Close()
	r := must(http.NewRequest("GET", DefaultEndpoint, nil))
	if proxy, err := s.transport.(*rest).own.Load().Proxy(r); err != nil || proxy == nil || proxy.Port() != "1" {
		t.Error("the API:", proxy, err)
	}
	m := &Metadata{Addr: "127.0.0.1:1"}
	m.InstanceID(t.Context())
	if m.own.(*http.Transport).Proxy != nil {
		t.Error("the metadata service is asked through a proxy")
	}
}

func TestBadTokensOfTheMetadataService(t *testing.T) {
	for _, body := range []string{"", "t1.secret-token", `{"access_token":""}`, `{"access_token":"t1.secret\ntoken"}`, `{"access_token":["t1.secret"]}`} {
		m := &Metadata{Log: quiet, HTTP: answers(func(*http.Request) (*http.Response, error) { return response(200, body), nil })}
		value, err := m.Tokens().Token(t.Context())
		if value != "" || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v", body, value, err)
		}
	}
}

func TestStaticTokens(t *testing.T) {
	t.Setenv(TokenVariable, "")
	if _, err := StaticTokens(""); err == nil {
		t.Error("no token, no error")
	}
	t.Setenv(TokenVariable, " t1.from-environment\n")
	if value, err := must(StaticTokens("")).Token(t.Context()); value != "t1.from-environment" || err != nil {
		t.Error(value, err)
	}
	file := filepath.Join(t.TempDir(), "token")
	tokens := must(StaticTokens(file))
	if _, err := tokens.Token(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error("an absent file:", err)
	}
	for _, want := range []string{"t1.one", "t1.two"} {
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if value, err := tokens.Refresh(t.Context(), "t1.zero"); value != want || err != nil {
			t.Error(value, err)
		}
	}
	for _, bad := range []string{"", "secret with spaces", "secret\x00", strings.Repeat("s", maxSecretFile+1)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if value, err := tokens.Token(t.Context()); value != "" || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q, %v", value, err)
		}
	}
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// writeKey writes an authorized key as `yc` does, in either spelling.
func writeKey(t *testing.T, camel bool, mode os.FileMode) string {
	t.Helper()
	der := must(x509.MarshalPKCS8PrivateKey(testKey()))
	text := "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <ajekey>\n" +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	content := map[string]string{
		"id": "ajekey", "service_account_id": "ajeaccount", "created_at": "2024-09-16T19:01:10Z", "key_algorithm": "RSA_2048",
		"public_key": "-----BEGIN PUBLIC KEY-----", "private_key": text,
	}
	if camel {
		content = map[string]string{"id": "ajekey", "serviceAccountId": "ajeaccount", "keyAlgorithm": "RSA_2048", "privateKey": text}
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, must(json.Marshal(content)), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKeyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, camel := range []bool{false, true} {
			for _, skew := range []time.Duration{0, 90 * time.Second, -90 * time.Second, -2 * time.Hour} {
				box := sandbox.New(sandbox.Config{
					Keys: map[string]*rsa.PublicKey{"ajekey": &testKey().PublicKey}, Skew: skew, Ahead: 24 * time.Hour, MaxAge: 24 * time.Hour, TokenLife: 20 * time.Second,
				})
				tokens := must(KeyTokens(KeyConfig{File: writeKey(t, camel, 0o600), HTTP: box.Transport(), Log: quiet}))
				s := connect(t, REST, box, Config{Tokens: tokens})
				for range 100 {
					if _, err := s.Send(t.Context(), records(1)); err != nil {
						t.Fatal(skew, err)
					}
					time.Sleep(time.Second)
				}
				if n := box.Stats().Unauthorized; n != 0 {
					t.Errorf("clock %v ahead: %d requests with a token that had expired", skew, n)
				}
			}
		}
	})
}

func TestKeyFileIsChecked(t *testing.T) {
	good := string(must(os.ReadFile(writeKey(t, false, 0o600))))
	file := filepath.Join(t.TempDir(), "key.json")
	for want, content := range map[string]string{
		"not the JSON":               "private_key = secret",
		"lacks private_key":          strings.Replace(good, `"private_key"`, `"secret_key"`, 1),
		"lacks id, private_key":      `{"service_account_id":"secret"}`,
		"no RSA key":                 strings.Replace(good, "BEGIN PRIVATE", "BEGIN secret", 1),
		"longer than":                good + strings.Repeat(" ", maxSecretFile),
		"lacks service_account_id":   strings.Replace(good, `"service_account_id"`, `"account"`, 1),
		"private_key is no RSA key ": `{"id":"a","service_account_id":"b","private_key":"secret"}`,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := KeyTokens(KeyConfig{File: file})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%v; want %q", err, want)
		} else if want != "longer than" && !strings.HasSuffix(err.Error(), makeKey) {
			t.Errorf("%v; want %q", err, makeKey)
		}
	}
	if _, err := KeyTokens(KeyConfig{File: file + ".absent"}); err == nil || !strings.HasSuffix(err.Error(), makeKey) {
		t.Errorf("without a file: %v", err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o604: false, 0o644: false, 0o777: false} {
		file := writeKey(t, false, 0o600)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := KeyTokens(KeyConfig{File: file}); (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestExchangeFailures(t *testing.T) {
	file := writeKey(t, false, 0o600)
	for name, answer := range map[string]answers{
		"echo": func(r *http.Request) (*http.Response, error) {
			var b bytes.Buffer
			b.ReadFrom(r.Body)
			return response(401, b.String()), nil
		},
		"message": func(r *http.Request) (*http.Response, error) {
			var body struct{ JWT string }
			json.NewDecoder(r.Body).Decode(&body)
			return response(401, `{"message":"no good: `+body.JWT+`"}`), nil
		},
		"garbage":  func(*http.Request) (*http.Response, error) { return response(200, "t1.secret-token"), nil },
		"empty":    func(*http.Request) (*http.Response, error) { return response(200, `{"iamToken":""}`), nil },
		"redirect": func(*http.Request) (*http.Response, error) { return response(307, "", "Location", "http://evil"), nil },
		"down":     func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") },
	} {
		tokens := must(KeyTokens(KeyConfig{File: file, HTTP: answer, Log: quiet}))
		value, err := tokens.Token(t.Context())
		if value != "" || err == nil || strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "secret-") {
			t.Errorf("%s: %q, %v", name, value, err)
		}
	}
	tokens := must(KeyTokens(KeyConfig{File: file, Log: quiet, HTTP: answers(func(*http.Request) (*http.Response, error) {
		return response(200, `{"iam_token":"t1.snake","expires_at":"2999-01-01T00:00:00Z"}`), nil
	})}))
	if value, err := tokens.Token(t.Context()); value != "t1.snake" || err != nil {
		t.Error(value, err)
	}
}

// A server that repeats the token wherever it can: none of it comes out.
func TestNoSecretComesOut(t *testing.T) {
	const secret = "t1.the-secret-token"
	var log bytes.Buffer
	for _, body := range []string{
		`{"code":16,"message":"token ` + secret + ` is bad","details":[{"requestId":"` + secret + `"}]}`,
		"Authorization: Bearer " + secret,
		strings.Repeat("x", 190) + secret,
		strings.Repeat("x", 90) + " another-secret-token",
		`{"accepted":[{"uuid":"x","reason":"` + secret + `"`,
		`{"access_token": "the-secret", "iamToken":"the-secret"}`,
	} {
		for _, status := range []int{200, 302, 400, 401, 403, 500} {
			for _, fails := range []bool{false, true} {
				s := must(New(Config{
					Endpoint: "http://127.0.0.1", Tokens: fixedToken(secret), Log: slog.New(slog.NewTextHandler(&log, nil)),
					HTTP: answers(func(r *http.Request) (*http.Response, error) {
						if fails {
							return nil, fmt.Errorf("dial with %v and http://user:%s@proxy", r.Header, secret)
						}
						return response(status, body, "X-Request-Id", secret, "X-Server-Trace-Id", secret), nil
					}),
				}))
				results, err := s.Send(t.Context(), records(2))
				text := fmt.Sprintf("%v %+v %#v", err, results, err)
				for cause := err; cause != nil; cause = errors.Unwrap(cause) {
					text += fmt.Sprintf(" %v %#v", cause, cause)
				}
				if strings.Contains(text, "the-secret") {
					t.Errorf("%d %q: %s", status, body, text)
				}
			}
		}
	}
	if strings.Contains(log.String(), "the-secret") {
		t.Error(log.String())
	}
}
