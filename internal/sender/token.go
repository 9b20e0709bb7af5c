package sender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// ErrNoToken says that a delivery got no token, and sent nothing.
var ErrNoToken = errors.New("no token")

// TokenSource returns the IAM tokens of requests. Its methods may be
// called concurrently. Its errors hold no secret.
type TokenSource interface {
	// Token returns a token that is valid as far as is known.
	Token(ctx context.Context) (string, error)
	// Refresh returns a token in place of the rejected one. It returns the same
	// token if the source cannot make another.
	Refresh(ctx context.Context, rejected string) (string, error)
}

// token is a token with the times when it must be renewed and when it ends.
type token struct {
	value     string
	refreshAt time.Time // from then on the cache gets another one, and uses this one until it has it
	expiresAt time.Time // from then on it must not be used
}

// newToken returns a token that was issued now. The cache renews it after two thirds
// of its lifetime, and hourly, as the documentation recommends. It does not use the
// token in the last tenth (at most 10 s), as a request takes time.
func newToken(value string, lifetime time.Duration) token {
	now := time.Now()
	return token{
		value:     value,
		refreshAt: now.Add(min(lifetime*2/3, time.Hour)),
		expiresAt: now.Add(lifetime - min(lifetime/10, 10*time.Second)),
	}
}

// checkToken refuses what cannot stand in a header. It does not repeat it.
func checkToken(value string) error {
	if value == "" {
		return errors.New("the token is empty")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token holds characters that no token has; is it the whole file, and nothing else?")
	}
	return nil
}

// cache keeps one token of a source that issues them, and renews it in time:
// in the background while the old one serves, otherwise while callers wait.
// At most one renewal is under way at a time.
type cache struct {
	fetch func(ctx context.Context) (token, error) // asks the source, for a limited time
	log   *slog.Logger

	mu      sync.Mutex
	current token
	renewal *renewal // the one that is under way, or nil
	failing bool     // the last renewal failed
	closed  bool
	wait    sync.WaitGroup
}

// renewal is one request to the source. What it came to may be read when done
// is closed.
type renewal struct {
	cancel context.CancelFunc
	done   chan struct{}
	token  token
	err    error
}

func (c *cache) Token(ctx context.Context) (string, error) {
	c.mu.Lock()
	now := time.Now()
	if now.Before(c.current.expiresAt) {
		defer c.mu.Unlock()
		if !now.Before(c.current.refreshAt) {
			c.renew()
		}
		return c.current.value, nil
	}
	r := c.renew()
	c.mu.Unlock()
	return r.result(ctx)
}

func (c *cache) Refresh(ctx context.Context, rejected string) (string, error) {
	c.mu.Lock()
	if c.current.value != rejected && time.Now().Before(c.current.expiresAt) {
		defer c.mu.Unlock()
		return c.current.value, nil
	}
	r := c.renew()
	c.mu.Unlock()
	return r.result(ctx)
}

// Close ends a renewal under way and waits for it.
func (c *cache) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.renewal != nil {
		c.renewal.cancel()
	}
	c.mu.Unlock()
	c.wait.Wait()
	return nil
}

// renew begins a renewal, or returns the one under way. c.mu is held.
func (c *cache) renew() *renewal {
	if c.renewal != nil {
		return c.renewal
	}
	ctx, cancel := context.WithCancel(context.Background())
	if c.closed {
		cancel()
	}
	r := &renewal{cancel: cancel, done: make(chan struct{})}
	c.renewal = r
	c.wait.Go(func() {
		defer cancel()
		r.token, r.err = c.fetch(ctx)
		c.finish(r)
		close(r.done)
	})
	return r
}

// finish takes the outcome of a renewal. After a failure the old token serves until
// it expires, and the cache asks the source again at shorter and shorter intervals.
func (c *cache) finish(r *renewal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewal = nil
	if r.err == nil {
		if c.failing {
			c.log.Info("the token was renewed")
		}
		c.current, c.failing = r.token, false
		return
	}
	left := time.Until(c.current.expiresAt)
	if left > 0 {
		c.current.refreshAt = time.Now().Add(min(max(left/4, time.Second), time.Minute))
		if !c.failing && !c.closed {
			c.log.Warn("the token could not be renewed; the old one is in use until it expires", "error", r.err, "expires_in", left.Round(time.Second))
		}
	}
	c.failing = left > 0
}

func (r *renewal) result(ctx context.Context) (string, error) {
	select {
	case <-r.done:
		return r.token.value, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
}
