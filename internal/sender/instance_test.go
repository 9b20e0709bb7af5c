package sender

import (
	"errors"
	"net/http"
	"testing"
)

// A definite answer without an id differs from one that may change soon.
func TestInstanceIsUnknown(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		id      string
		unknown bool
	}{
		{200, "fhm1\n", "fhm1", false},
		{200, "", "", true},
		{200, "<html>\nsign in", "", true},
		{200, `{"access_token":"t1.secret"}`, "", true},
		{404, "not found", "", true},
		{403, "", "", true},
		{501, "", "", true},
		{302, "", "", false},
		{429, "", "", false},
		{500, "", "", false},
		{503, "", "", false},
	} {
		m := &Metadata{Log: quiet, HTTP: answers(func(*http.Request) (*http.Response, error) { return response(c.status, c.body), nil })}
		id, err := m.InstanceID(t.Context())
		if id != c.id || (err == nil) != (c.id != "") || errors.Is(err, ErrNoInstance) != c.unknown {
			t.Errorf("%d %q: %q, %v", c.status, c.body, id, err)
		}
	}
	m := &Metadata{Log: quiet, HTTP: answers(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })}
	if id, err := m.InstanceID(t.Context()); id != "" || err == nil || errors.Is(err, ErrNoInstance) {
		t.Errorf("no answer: %q, %v", id, err)
	}
}
