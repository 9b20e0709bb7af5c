package sender

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

func TestVerdicts(t *testing.T) {
	const id = "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"
	accept := `{"uuid":"` + id + `"}`
	reject := func(reason string) string { return `{"uuid":"` + id + `","reason":"` + reason + `"}` }
	lists := func(accepted, rejected string) string {
		return `{"accepted":[` + accepted + `],"rejected":[` + rejected + `]}`
	}
	type before struct {
		attempts    int
		maybeStored bool
		refusable   bool // that attempt may have been refused for the record's time
		ahead       bool // its timestamp is in the API's future
	}
	first, failed, lost := before{}, before{attempts: 1}, before{attempts: 1, maybeStored: true}
	refused := before{attempts: 1, maybeStored: true, refusable: true}
	ahead := before{attempts: 1, maybeStored: true, ahead: true}
	for _, row := range []struct {
		name   string
		body   string
		before before
		want   meter.Result
	}{
		{"accepted", lists(accept, ""), first, meter.Result{State: meter.Accepted}},
		{"accepted at last", lists(accept, ""), lost, meter.Result{State: meter.Accepted}},
		{"accepted twice", lists(accept+","+accept, ""), first, meter.Result{State: meter.Accepted}},

		{"duplicate of nothing", lists("", reject("DUPLICATE")), first, meter.Result{State: meter.Refused, Reason: "DUPLICATE"}},
		{"duplicate of an attempt", lists("", reject("DUPLICATE")), failed, meter.Result{State: meter.Accepted}},
		{"duplicate of a lost attempt", lists("", reject("DUPLICATE")), lost, meter.Result{State: meter.Accepted}},
		{"duplicate in lower case", lists("", reject("duplicate")), lost, meter.Result{State: meter.Accepted}},

		{"expired", lists("", reject("EXPIRED")), first, meter.Result{State: meter.Expired, Reason: "EXPIRED"}},
		{"expired, never stored", lists("", reject("EXPIRED")), failed, meter.Result{State: meter.Expired, Reason: "EXPIRED"}},
		{"expired, perhaps stored", lists("", reject("EXPIRED")), lost, meter.Result{State: meter.InDoubt, Reason: "EXPIRED", MaybeStored: true}},

		{"in the future", lists("", reject("INVALID_TIMESTAMP")), first, meter.Result{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true}},
		{"duplicate of an attempt that may have been refused", lists("", reject("DUPLICATE")), refused, meter.Result{State: meter.InDoubt, Reason: "DUPLICATE", MaybeStored: true, MaybeRefused: true}},
		{"accepted after an attempt that may have been refused", lists(accept, ""), refused, meter.Result{State: meter.Accepted}},
		{"in the future, though it was not before", lists("", reject("INVALID_TIMESTAMP")), lost, meter.Result{State: meter.Sealed, Reason: "INVALID_TIMESTAMP", MaybeStored: true, MaybeRefused: true}},
		{"in the future, so never stored", lists("", reject("INVALID_TIMESTAMP")), ahead, meter.Result{State: meter.Refused, Reason: "INVALID_TIMESTAMP", Reissue: true}},

		{"refused", lists("", reject("INVALID_SKU_ID")), first, meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"}},
		{"refused, perhaps stored", lists("", reject("INVALID_SKU_ID")), lost, meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID", MaybeStored: true}},
		{"refused for news", lists("", reject("NEW_REASON")), first, meter.Result{State: meter.Refused, Reason: "NEW_REASON"}},
		{"refused twice alike", lists("", reject("INVALID_SKU_ID")+","+reject("INVALID_SKU_ID")), first, meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID"}},
		{"refused twice", lists("", reject("INVALID_SKU_ID")+","+reject("INVALID_QUANTITY")), first, meter.Result{State: meter.Refused, Reason: "INVALID_SKU_ID, INVALID_QUANTITY"}},
		{"refused twice, no reissue", lists("", reject("INVALID_TIMESTAMP")+","+reject("INVALID_SKU_ID")), first, meter.Result{State: meter.Refused, Reason: "INVALID_TIMESTAMP, INVALID_SKU_ID"}},
		{"refused and expired", lists("", reject("INVALID_SKU_ID")+","+reject("EXPIRED")), lost, meter.Result{State: meter.InDoubt, Reason: "EXPIRED", MaybeStored: true}},
		{"refused and duplicate", lists("", reject("EXPIRED")+","+reject("DUPLICATE")), lost, meter.Result{State: meter.Accepted}},

		{"accepted and duplicate", lists(accept, reject("DUPLICATE")), first, meter.Result{State: meter.Accepted}},
		{"accepted and refused", lists(accept, reject("INVALID_SKU_ID")), first, meter.Result{State: meter.Sealed, Reason: "the API's answer lists it as accepted and as rejected: INVALID_SKU_ID", MaybeStored: true}},

		{"not mentioned", lists(`{"uuid":"OTHER"}`, ""), first, meter.Result{State: meter.Sealed, Reason: "the API's answer does not mention it", MaybeStored: true}},
		{"unreadable entries", lists(`"`+id+`",{"uuid":7},{"uuid":"OTHER"}`, `[1]`), first, meter.Result{State: meter.Sealed, Reason: "the API's answer does not mention it", MaybeStored: true}},
	} {
		list := records(2)
		s := answering(t, func(*http.Request) (*http.Response, error) {
			return response(200, strings.ReplaceAll(row.body, "OTHER", list[1].UUID)), nil
		})
		r := &list[0]
		r.UUID, r.Attempts, r.MaybeStored, r.MaybeRefused = id, row.before.attempts, row.before.maybeStored, row.before.refusable
		if row.before.ahead {
			r.Timestamp = time.Now().Add(time.Minute)
		}
		row.want.UUID = id
		results, err := s.Send(t.Context(), list)
		if err != nil || results[0] != row.want {
			t.Errorf("%s: %+v, %v\nwant %+v", row.name, results[0], err, row.want)
		}
	}
}

// Once the API's clock has been past a record's timestamp, a lost attempt may
// have been stored although the API calls the timestamp future now.
func TestClockThatGoesBack(t *testing.T) {
	r := records(1)[0]
	other := records(1)[0]
	body, date := `{"accepted":[{"uuid":"`+other.UUID+`"}]}`, r.Timestamp.Add(time.Second)
	s := answering(t, func(*http.Request) (*http.Response, error) {
		return response(200, body, "Date", date.Format(http.TimeFormat)), nil
	})
	results, _ := s.Send(t.Context(), []meter.Record{r, other})
	body, date = `{"rejected":[{"uuid":"`+r.UUID+`","reason":3}]}`, date.Add(-time.Hour)
	results, err := s.Send(t.Context(), again([]meter.Record{r}, results))
	if want := (meter.Result{UUID: r.UUID, State: meter.Sealed, Reason: invalidTimestamp, MaybeStored: true, MaybeRefused: true}); err != nil || results[0] != want {
		t.Errorf("%+v, %v; want %+v", results[0], err, want)
	}
}

func TestUnreadableSuccess(t *testing.T) {
	for _, body := range []string{
		"", "null", "[]", `"ok"`, "ok", "<html></html>", `{"accepted":[`, `{"accepted":{}}`, `{"accepted":[]} trailing`, "\x00",
		`{"accepted":[{"uuid":"x"}]` + strings.Repeat(" ", maxBody) + "}",
	} {
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(200, body), nil })
		results, err := s.Send(t.Context(), records(2))
		checkFate(t, excerpt(body, 40), results, err, fate{Retry, true})
	}
}

func FuzzAnswer(f *testing.F) {
	const id = "6da9b1a4-7a2e-4c7b-8f0e-1e2d3c4b5a69"
	f.Add(`{"accepted":[{"uuid":"`+id+`"}],"rejected":[]}`, uint8(0))
	f.Add(`{"accepted":[],"rejected":[{"uuid":"`+id+`","reason":"EXPIRED"}]}`, uint8(3))
	f.Add(`{"rejected":[{"uuid":"`+id+`","reason":1},{"UUID":"`+strings.ToUpper(id)+`","reason":null}]}`, uint8(7))
	f.Add(`{"code":13,"message":"oops","details":[{}]}`, uint8(1))
	f.Add("<html>", uint8(2))
	f.Fuzz(func(t *testing.T, body string, how uint8) {
		r := records(1)[0]
		r.UUID, r.MaybeStored = id, how&1 != 0
		if r.MaybeStored || how&2 != 0 {
			r.Attempts = 1
		}
		status := 200
		if how&8 != 0 {
			status = 503
		}
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(status, body), nil })
		s.validateOnly = how&4 != 0
		results, err := s.Send(t.Context(), []meter.Record{r})
		got := results[0]
		mentioned := strings.Contains(strings.ToLower(body), id) || strings.Contains(body, `\u`)
		switch got.State {
		case meter.Accepted, meter.Refused, meter.Expired, meter.InDoubt:
			if err != nil || status != 200 || !mentioned {
				t.Errorf("%+v, %v, of %q", got, err, body)
			}
		case meter.Sealed:
			if got.MaybeStored != (r.MaybeStored || !s.validateOnly) || got.Reason == "" {
				t.Errorf("%+v, %v, of %q", got, err, body)
			}
		default:
			t.Errorf("%+v", got)
		}
		if got.State == meter.InDoubt && !r.MaybeStored || got.State == meter.Expired && r.MaybeStored && !s.validateOnly || got.Reissue && got.State != meter.Refused {
			t.Errorf("%+v of %+v", got, r)
		}
		if len(got.Reason) > 1000 || strings.ContainsAny(got.Reason, "\n\x00") {
			t.Errorf("reason %q", got.Reason)
		}
	})
}

// An answer that mentions no record is a failure, in the answer's own words, and
// may have stored all of them.
func TestAnswerThatMentionsNoRecord(t *testing.T) {
	for body, words := range map[string]string{
		`{}`:                          "mentions no record: {}",
		`{"accepted":[]}`:             `mentions no record: {"accepted":[]}`,
		`{"accepted":[{"uuid":"x"}]}`: "mentions no record",
		`{"code":7,"message":"billing account is suspended"}`: "mentions no record: billing account is suspended",
	} {
		s := answering(t, func(*http.Request) (*http.Response, error) { return response(200, body), nil })
		results, err := s.Send(t.Context(), records(2))
		checkFate(t, body, results, err, lost)
		if e := err.(*Error); e.Status != 200 || !strings.Contains(e.Error(), words) {
			t.Errorf("%s: %v", body, err)
		}
		if _, err := s.Validate(t.Context(), records(2)); err == nil {
			t.Errorf("%s: a question is answered by it", body)
		}
	}
}
