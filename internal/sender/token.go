package sender

import (
	"context"
	"log/slog"
	"net/http"
)

// TokenSource yields the IAM tokens that requests bear.
type TokenSource interface {
	// Token returns a token that is valid as far as is known.
	Token(ctx context.Context) (string, error)
	// Refresh returns a token in place of one that the API refused. Where the
	// source has no other it returns the same.
	Refresh(ctx context.Context, rejected string) (string, error)
}

// Metadata is the metadata service of the virtual machine.
type Metadata struct {
	Addr string            // host[:port]; "": $YC_METADATA_ADDR, else 169.254.169.254
	HTTP http.RoundTripper // nil: a transport that bypasses proxies
	Log  *slog.Logger      // nil: slog.Default
}

// Tokens returns the tokens of the VM's service account.
func (m *Metadata) Tokens() TokenSource { return nil }

// InstanceID returns the cloud's name of this VM.
func (m *Metadata) InstanceID(ctx context.Context) (string, error) { return "", nil }

// KeyConfig says how tokens are got for an authorized key.
type KeyConfig struct {
	File     string // the key, as `yc iam key create` writes it
	Endpoint string // of IAM; "": https://iam.api.cloud.yandex.net
	CAFile   string
	HTTP     http.RoundTripper // nil: a transport of its own
	Log      *slog.Logger      // nil: slog.Default
}

// KeyTokens returns the tokens of an authorized key's service account. It
// reads and checks the key file and connects nowhere.
func KeyTokens(cfg KeyConfig) (TokenSource, error) { return nil, nil }

// StaticTokens returns the token that stands in file, read anew for each
// request, or, where file is "", in the variable METERLOG_IAM_TOKEN.
func StaticTokens(file string) (TokenSource, error) { return nil, nil }
