package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A request that hangs ends with the server.
func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{AnyToken: true, Faults: []Fault{{Kind: FaultHangBefore}}})
	url, wait, err := s.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.Get(url); err != nil || response.StatusCode != 200 {
		t.Fatal(err)
	} else {
		response.Body.Close()
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+writePath, strings.NewReader(request(record())))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer x")
	answered := make(chan error)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	for s.Stats().Faults == 0 {
		if r.Context().Err() != nil {
			t.Fatal("the request never came")
		}
	}
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("a request that hangs was answered")
	}
}

func TestServeTellsWhyItCannot(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := New(Config{}).Serve(t.Context(), ln); err == nil || !strings.HasPrefix(err.Error(), "sandbox: ") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := New(Config{}).Start(ctx); err == nil {
		t.Error("it starts after the end")
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "http://sandbox/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}).Transport().RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestEndpointsOverREST(t *testing.T) {
	m := newModel(t, Config{})
	_, _, body := m.do("GET", "/endpoints", "")
	var list struct {
		Endpoints []struct{ ID, Address string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Endpoints) != len(endpointIDs) || list.Endpoints[0].Address != "sandbox" {
		t.Error(body, err)
	}
	if _, _, body := m.do("GET", "/endpoints/iam", ""); !strings.Contains(body, `"id":"iam","address":"sandbox"`) {
		t.Error(body)
	}
	if status, _, body := m.do("GET", "/endpoints/compute", ""); status != 404 || !strings.Contains(body, `"code":5`) {
		t.Error(status, body)
	}
}
