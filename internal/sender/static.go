package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// TokenVariable is the environment variable that holds a static token.
const TokenVariable = "METERLOG_IAM_TOKEN"

// StaticTokens returns the token in file. If file is "", it returns the token in the
// variable METERLOG_IAM_TOKEN. Each request reads the file again, so that another
// program can renew it. The file may be missing for a while.
func StaticTokens(file string) (TokenSource, error) {
	if file != "" {
		return tokenFile(file), nil
	}
	value := strings.TrimSpace(os.Getenv(TokenVariable))
	if value == "" {
		return nil, errors.New("sender: token: no token file is named and the variable " + TokenVariable + " is not set")
	}
	if err := checkToken(value); err != nil {
		return nil, fmt.Errorf("sender: %s: %w", TokenVariable, err)
	}
	return fixedToken(value), nil
}

// fixedToken is a token that never changes.
type fixedToken string

func (t fixedToken) Token(context.Context) (string, error)           { return string(t), nil }
func (t fixedToken) Refresh(context.Context, string) (string, error) { return string(t), nil }

// tokenFile is the path of a file that holds a token.
type tokenFile string

func (f tokenFile) Token(context.Context) (string, error) {
	data, err := readSmall(string(f))
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(data))
	if err := checkToken(value); err != nil {
		return "", fmt.Errorf("%s: %w", string(f), err)
	}
	return value, nil
}

func (f tokenFile) Refresh(ctx context.Context, _ string) (string, error) { return f.Token(ctx) }

// maxSecretFile is the most a file with a token or a key may hold, in bytes.
const maxSecretFile = 64 << 10

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAllSmall(file)
}

func readAllSmall(file *os.File) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err == nil && len(data) > maxSecretFile {
		err = fmt.Errorf("%s: it is longer than %d bytes", file.Name(), maxSecretFile)
	}
	return data, err
}
