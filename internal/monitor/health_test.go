package monitor

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/meterlog/meterlog/internal/meter"
)

var quiet = slog.New(slog.DiscardHandler)

func codes(problems []meter.Problem) (list []string) {
	for _, p := range problems {
		list = append(list, p.Code+"/"+p.Subject+"/"+p.Message)
	}
	return list
}

func TestProblemsBeginChangeAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewHealth()
		v.Raise(meter.Problem{Code: "disk", Message: "full"})
		began := time.Now().UTC()
		time.Sleep(time.Minute)
		v.Raise(meter.Problem{Code: "api", Subject: "a", Message: "gone"})
		v.Raise(meter.Problem{Code: "api", Subject: "b", Message: "gone"})
		v.Raise(meter.Problem{Code: "disk", Message: "fuller"})
		want := []string{"disk//fuller", "api/a/gone", "api/b/gone"}
		if got := codes(v.Problems()); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if since := v.Problems()[0].Since; !since.Equal(began) {
			t.Errorf("since %v, want %v", since, began)
		}
		v.Clear("api", "a")
		v.Clear("disk", "")
		v.Clear("disk", "")
		if got := codes(v.Problems()); !reflect.DeepEqual(got, want[2:]) {
			t.Errorf("%q, want %q", got, want[2:])
		}
	})
}

// store is a ledger that fails at first.
type store struct {
	failures int
	kept     [][]string
}

func (s *store) SetProblems(_ context.Context, problems []meter.Problem) error {
	if s.failures--; s.failures >= 0 {
		return errors.New("no space")
	}
	s.kept = append(s.kept, codes(problems))
	return nil
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := NewHealth(), &store{failures: 2}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { v.Keep(ctx, s, quiet); close(ended) }()
		v.Raise(meter.Problem{Code: "disk"})
		time.Sleep(3 * keepPause)
		v.Clear("disk", "")
		synctest.Wait()
		want := [][]string{{"disk//"}, nil}
		if !reflect.DeepEqual(s.kept, want) {
			t.Errorf("%q, want %q", s.kept, want)
		}
		cancel()
		<-ended
	})
}

func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewHealth()
		meterLoop, sendLoop := v.Heartbeat("meter"), v.Heartbeat("send")
		if err := v.Alive(time.Now()); err != nil {
			t.Error("before the first beat:", err)
		}
		meterLoop.Beat(time.Minute)
		sendLoop.Beat(time.Hour)
		time.Sleep(time.Minute)
		if err := v.Alive(time.Now()); err != nil {
			t.Error("in time:", err)
		}
		time.Sleep(time.Second)
		if err := v.Alive(time.Now()); err == nil || !strings.Contains(err.Error(), "meter loop") {
			t.Error("late:", err)
		}
		meterLoop.Stop()
		if err := v.Alive(time.Now()); err != nil {
			t.Error("ended:", err)
		}
	})
}

// The metrics of a rule go with the rule.
func TestMetricsOfRulesThatAreGone(t *testing.T) {
	v := NewHealth()
	v.KeepRules([]string{"a", "b"})
	v.MatchedLines.WithLabelValues("a").Add(3)
	v.MatchedLines.WithLabelValues("b").Add(5)
	v.KeepRules([]string{"b", "c"})
	metrics := make(chan prometheus.Metric, 10)
	v.MatchedLines.Collect(metrics)
	if n := len(metrics); n != 1 {
		t.Fatalf("%d series are left, want that of b", n)
	}
	var left dto.Metric
	if err := (<-metrics).Write(&left); err != nil || left.GetLabel()[0].GetValue() != "b" || left.GetCounter().GetValue() != 5 {
		t.Errorf("left is %v, %v", &left, err)
	}
}
