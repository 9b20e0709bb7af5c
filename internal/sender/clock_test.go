package sender

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

func TestSkewIsForgottenWhenTheClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second} {
		var c clock
		if c.get() != 0 {
			t.Error("skew known before any answer")
		}
		now := time.Now()
		c.observe(now.Add(-time.Hour).Truncate(time.Second), now, now)
		if got := c.get(); (got + time.Hour).Abs() > time.Second {
			t.Errorf("skew %v, want an hour behind", got)
		}
		c.wall = c.wall.Add(-step) // as if our clock had been set forward by step since
		if got := c.get(); got != 0 {
			t.Errorf("clock set by %v: skew %v is still believed", step, got)
		}
		now = time.Now()
		c.observe(now.Add(step).Truncate(time.Second), now, now)
		if got := c.get(); (got - step).Abs() > time.Second {
			t.Errorf("skew %v after another answer, want %v", got, step)
		}
	}
}

// Only an answer with a verdict tells the API's time, and only where its Date
// does not contradict the verdict.
func TestWhoseDateIsBelieved(t *testing.T) {
	for _, row := range []struct {
		status   int
		body     string // UUID is replaced by the record's
		off      time.Duration
		believed bool
	}{
		{200, `{"accepted":[{"uuid":"UUID"}]}`, 0, true},
		{200, `{"accepted":[{"uuid":"UUID"}]}`, 30 * time.Minute, true},
		{200, `{"accepted":[{"uuid":"UUID"}]}`, -90 * time.Second, true},
		{200, `{"accepted":[{"uuid":"UUID"}]}`, -2 * time.Hour, false}, // it took what is in its future then
		{200, `{"accepted":[{"uuid":"UUID"}]}`, 2 * time.Hour, false},  // it took what is too old then
		{200, `{"rejected":[{"uuid":"UUID","reason":"INVALID_SKU_ID"}]}`, -2 * time.Hour, true},
		{200, `{"rejected":[{"uuid":"UUID","reason":"EXPIRED"}]}`, 2 * time.Hour, true},
		{200, `{"accepted":[{"uuid":"another"}]}`, -30 * time.Minute, false},
		{200, `{}`, -30 * time.Minute, false},
		{200, `<html>`, -30 * time.Minute, false},
		{400, `{"code":3,"message":"invalid"}`, -30 * time.Minute, false},
		{403, `{"code":7,"message":"denied"}`, -30 * time.Minute, false},
		{502, `<html>Bad gateway</html>`, -20 * 365 * 24 * time.Hour, false},
	} {
		r := records(1)
		s := answering(t, func(*http.Request) (*http.Response, error) {
			date := time.Now().Add(row.off).UTC().Format(http.TimeFormat)
			return response(row.status, strings.ReplaceAll(row.body, "UUID", r[0].UUID), "Date", date), nil
		})
		s.Send(t.Context(), r)
		if got := s.clock.known(); got != row.believed {
			t.Errorf("%d %s, a Date off by %v: believed %v", row.status, row.body, row.off, got)
		}
		want := time.Duration(0)
		if row.believed {
			want = row.off
		}
		if got := s.Skew(); (got - want).Abs() > 2*time.Second {
			t.Errorf("%d %s, a Date off by %v: skew %v", row.status, row.body, row.off, got)
		}
	}
}

// old returns a record of this age.
func old(age time.Duration) meter.Record {
	r := records(1)[0]
	r.Timestamp = time.Now().Add(-age).Truncate(time.Second)
	return r
}

// What the API says to a question with validate_only decides over records that
// it may refuse for their time. For others it is not asked.
func TestVet(t *testing.T) {
	stored := func(r meter.Record) meter.Record { r.Attempts, r.MaybeStored = 1, true; return r }
	type outcome struct {
		ready, refusable bool
		state            meter.State
	}
	go1, held := outcome{ready: true}, outcome{state: meter.Sealed}
	for _, row := range []struct {
		name   string
		known  bool // the API's clock is known, and agrees with ours
		record meter.Record
		reason string // "": accepted; "-": not mentioned
		asked  bool
		want   outcome
	}{
		{"no doubt", true, old(time.Minute), "EXPIRED", false, go1},
		{"unknown clock", false, old(time.Minute), "", true, go1},
		{"unknown clock, expired", false, old(time.Minute), "EXPIRED", true, outcome{state: meter.Expired}},
		{"unknown clock, expired, perhaps stored", false, stored(old(time.Minute)), "EXPIRED", true, outcome{state: meter.InDoubt}},
		{"unknown clock, ahead", false, old(time.Minute), "INVALID_TIMESTAMP", true, held},
		{"unknown clock, not mentioned", false, old(time.Minute), "-", true, go1},
		{"unknown clock, ahead of ours, not mentioned", false, old(-time.Minute), "-", true, outcome{ready: true, refusable: true}},
		{"unknown clock, refused otherwise", false, old(time.Minute), "INVALID_SKU_ID", true, go1},
		{"nearly an hour old", true, old(59*time.Minute + 30*time.Second), "", true, outcome{ready: true, refusable: true}},
		{"too old", true, old(61 * time.Minute), "EXPIRED", true, outcome{state: meter.Expired}},
		{"ahead", true, old(-time.Minute), "INVALID_TIMESTAMP", true, held},
		{"ahead, as we believe", true, old(-time.Minute), "", true, go1},
		{"a duplicate", false, stored(old(time.Minute)), "DUPLICATE", true, go1},
	} {
		requests := 0
		companion := old(time.Minute) // so that the answer mentions something
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			requests++
			body := `{"accepted":[{"uuid":"` + row.record.UUID + `"},{"uuid":"` + companion.UUID + `"}]}`
			if row.reason == "-" {
				body = `{"accepted":[{"uuid":"` + companion.UUID + `"}]}`
			} else if row.reason != "" {
				body = fmt.Sprintf(`{"rejected":[{"uuid":%q,"reason":%q}]}`, row.record.UUID, row.reason)
			}
			return response(200, body), nil
		})
		if row.known {
			s.clock.observe(time.Now().Truncate(time.Second), time.Now(), time.Now())
		}
		list := []meter.Record{row.record}
		if row.reason == "-" {
			list = append(list, companion)
		}
		ready, ruledOut, err := s.Vet(t.Context(), list)
		if err != nil || (requests > 0) != row.asked {
			t.Errorf("%s: %d requests, %v", row.name, requests, err)
		}
		got := outcome{}
		for _, r := range ready {
			if r.UUID == row.record.UUID {
				got.ready, got.refusable = true, r.Refusable
			}
		}
		for _, r := range ruledOut {
			got.state = r.State
			if r.MaybeStored != row.record.MaybeStored {
				t.Errorf("%s: %+v", row.name, r)
			}
		}
		if got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

// If the API's Date and our clock differ by minutes, one of them is wrong. Then the
// Date alone does not vouch for a record that is ahead of the API's true clock: Vet
// asks, and an attempt without an answer may have been refused.
func TestVetWithClocksThatDisagree(t *testing.T) {
	for _, c := range []struct {
		skew   time.Duration
		answer string
		asked  bool
		state  meter.State // of the record, if it is not ready
		doubt  bool
	}{
		{0, `{"accepted":[{"uuid":"UUID"}]}`, false, "", false},
		{time.Minute, `{"accepted":[{"uuid":"UUID"}]}`, false, "", false},
		{50 * time.Minute, `{"rejected":[{"uuid":"UUID","reason":"INVALID_TIMESTAMP"}]}`, true, meter.Sealed, false},
		{-50 * time.Minute, `{"accepted":[{"uuid":"UUID"}]}`, true, "", false},
		{50 * time.Minute, "", true, "", true},
	} {
		r, requests := old(5*time.Minute), 0
		s := answering(t, func(*http.Request) (*http.Response, error) {
			requests++
			if c.answer == "" {
				return response(404, "{}"), nil
			}
			return response(200, strings.ReplaceAll(c.answer, "UUID", r.UUID)), nil
		})
		s.clock.observe(time.Now().Add(c.skew).Truncate(time.Second), time.Now(), time.Now())
		ready, ruledOut, err := s.Vet(t.Context(), []meter.Record{r})
		if err != nil || (requests > 0) != c.asked || (len(ready) == 1) != (c.state == "") {
			t.Fatalf("skew %v: %d requests, ready %v, ruled out %v, %v", c.skew, requests, ready, ruledOut, err)
		}
		if len(ready) == 1 && ready[0].Refusable != c.doubt {
			t.Errorf("skew %v: refusable is %v", c.skew, ready[0].Refusable)
		}
	}
}

// Deliveries wait for an answer to validate_only for a minute, and no longer. The
// question goes on to be asked once a minute, and its answer ends this.
func TestVetThatNobodyAnswers(t *testing.T) {
	both(t, func(t *testing.T, transport string) {
		box := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 503}}})
		s := connect(t, transport, box, Config{})
		start, list := time.Now(), records(2)
		for {
			ready, ruledOut, err := s.Vet(t.Context(), list)
			if err == nil && len(ready) == 2 && len(ruledOut) == 0 {
				break
			}
			if err == nil || len(ready) > 0 || len(ruledOut) > 0 {
				t.Fatal(ready, ruledOut, err)
			}
			time.Sleep(5 * time.Second)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("deliveries waited for %v", took)
		}
		asked := box.Stats().Requests
		for range 60 {
			if ready, _, err := s.Vet(t.Context(), list); err != nil || len(ready) != 2 {
				t.Fatal(ready, err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := box.Stats().Requests - asked; n != 5 {
			t.Errorf("asked %d times in five minutes", n)
		}
		box.SetFaults()
		time.Sleep(time.Minute)
		if _, _, err := s.Vet(t.Context(), list); err != nil || !s.clock.known() || !s.silence.since.IsZero() {
			t.Errorf("after an answer: %v, %+v", err, &s.silence.since)
		}
	})
}

// An answer that such a request is not taken is one, though it has no verdict.
func TestVetThatIsRefused(t *testing.T) {
	for status, answered := range map[int]bool{400: true, 403: true, 404: true, 501: true, 200: false, 408: false, 429: false, 500: false, 503: false} {
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(status, `{}`), nil })
		ready, _, err := s.Vet(t.Context(), records(1))
		if (err == nil) != answered || (len(ready) == 1) != answered {
			t.Errorf("%d: %v, %v", status, ready, err)
		}
	}
}
