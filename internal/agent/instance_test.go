package agent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sender"
)

// machine is what a site's agent learns of where it runs.
type machine struct {
	file string // of the machine's id
	ask  func(context.Context) (string, error)
}

// named returns a machine with these ids.
func named(t *testing.T, id, instance string) machine {
	t.Helper()
	m := machine{file: filepath.Join(t.TempDir(), "machine-id")}
	if err := os.WriteFile(m.file, []byte(id+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.ask = func(context.Context) (string, error) { return instance, nil }
	return m
}

// runOn starts the site's agent on the machine; stop ends it.
func (s *site) runOn(m machine) (stop func()) {
	s.t.Helper()
	book := must(ledger.Open(s.t.Context(), filepath.Join(s.dir, "state")))
	deliver := must(sender.New(sender.Config{
		Endpoint: "http://127.0.0.1", Tokens: token("t1.test"), HTTP: s.http, Dial: loopback, Log: quiet,
	}))
	a, err := New(s.t.Context(), Config{
		Rules: s.config, Ledger: book, Sender: deliver, Log: slog.New(&s.logged), MachineIDFile: m.file, InstanceID: m.ask,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
		a.Close()
		if err := errors.Join(deliver.Close(), book.Close()); err != nil {
			s.t.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

const setAside = "the ledger is of another machine"

// usedOn returns a site whose ledger, bound to the machine, has 3 units billed, and
// 2 open in a window of long ago.
func usedOn(t *testing.T, m machine) *site {
	t.Helper()
	s := newSite(t, oneRule)
	s.write("a.log", "mail sent\nmail sent\nmail sent\n")
	stop := s.runOn(m)
	until(t, "the first lines are billed", func() bool { return s.billed(sku) == 3 })
	stop()
	s.leaveOpen(2)
	return s
}

func TestTheSameMachineGoesOn(t *testing.T) {
	t.Parallel()
	m := named(t, "m1", "i1")
	s := usedOn(t, m)
	defer s.runOn(m)()
	until(t, "what was open is billed", func() bool { return s.billed(sku) == 5 })
	if s.logged.has(setAside) {
		t.Error("it was taken for another machine")
	}
}

func TestACopiedDiskBillsNothingOfBefore(t *testing.T) {
	for name, ids := range map[string][2]string{"machine": {"m2", "i1"}, "instance": {"m1", "i2"}, "both": {"m2", "i2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := usedOn(t, named(t, "m1", "i1"))
			s.alter("UPDATE meta SET value = 'another' WHERE key = 'boot'") // a copy is started for itself
			s.write("a.log", "mail sent, and left to the first machine\n")
			defer s.runOn(named(t, ids[0], ids[1]))()
			until(t, "the line is left to the first machine", func() bool { return s.missed() == 41 })
			s.write("a.log", "mail sent\n")
			until(t, "the new line is billed", func() bool { return s.billed(sku) == 4 })
			foreign := s.records(meter.Foreign)
			if len(foreign) != 1 || foreign[0].Quantity != 2 {
				t.Errorf("set aside: %+v", foreign)
			}
			if !s.logged.has(setAside) {
				t.Error("nothing was logged")
			}
		})
	}
}

// missed returns how many bytes the ledger knows to have passed over.
func (s *site) missed() (bytes int64) {
	s.t.Helper()
	book := must(ledger.OpenReader(filepath.Join(s.dir, "state")))
	defer book.Close()
	for _, a := range must(book.Anomalies(s.t.Context())) {
		if a.Kind == meter.BytesMissed {
			bytes += a.Bytes
		}
	}
	return bytes
}

// While the metadata service is silent, usage is counted and nothing delivered.
// When it names another instance, what was counted meanwhile is billed here.
func TestNothingIsDeliveredBeforeTheInstanceIsKnown(t *testing.T) {
	t.Parallel()
	s := usedOn(t, named(t, "m1", "i1"))
	m := named(t, "m1", "")
	var answers atomic.Bool
	m.ask = func(context.Context) (string, error) {
		if !answers.Load() {
			return "", errors.New("no answer")
		}
		return "i2", nil
	}
	s.write("a.log", "mail sent\nmail sent\nmail sent\nmail sent\n")
	defer s.runOn(m)()
	until(t, "all is sealed", func() bool {
		sum := int64(0)
		for _, r := range s.records(meter.Sealed) {
			sum += r.Quantity
		}
		return sum == 2+4
	})
	for _, r := range s.records(meter.Sealed) {
		if r.Attempts != 0 {
			t.Errorf("sent before the instance was known: %+v", r)
		}
	}
	s.wantBilled(sku, 3)
	answers.Store(true)
	until(t, "what was counted here is billed", func() bool { return s.billed(sku) == 3+4 })
	if foreign := s.records(meter.Foreign); len(foreign) != 1 || foreign[0].Quantity != 2 {
		t.Errorf("set aside: %+v", foreign)
	}
}

func TestAMachineWithoutNames(t *testing.T) {
	for name, text := range map[string]string{"absent": "", "empty": "\n", "uninitialized": "uninitialized\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := usedOn(t, named(t, "m1", "i1"))
			m := machine{file: filepath.Join(t.TempDir(), "machine-id")}
			if text != "" {
				if err := os.WriteFile(m.file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			m.ask = func(context.Context) (string, error) { return "", fmt.Errorf("%w: 404", sender.ErrNoInstance) }
			defer s.runOn(m)()
			until(t, "what was open is billed", func() bool { return s.billed(sku) == 5 })
			if !s.logged.has("this machine has no id") || s.logged.has(setAside) {
				t.Error("it should say that the machine has no id, and no more")
			}
		})
	}
}

// A ledger that is bound to no instance has nothing that could be another's.
func TestAnUnboundLedgerDoesNotWaitForTheInstance(t *testing.T) {
	t.Parallel()
	m := named(t, "m1", "")
	s := usedOn(t, m)
	m.ask = func(context.Context) (string, error) { return "", errors.New("connection reset") }
	defer s.runOn(m)()
	until(t, "what was open is billed", func() bool { return s.billed(sku) == 5 })
	if s.logged.has(setAside) {
		t.Error("something was set aside")
	}
}

// A unit that lines from before and after a restart make together is billed though
// nothing more comes.
func TestUnitOfBeforeAndAfterARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, oneRule+"    per: 7\n")
	m := named(t, "m1", "i1")
	s.write("a.log", strings.Repeat("mail sent\n", 6))
	stop := s.runOn(m)
	until(t, "the first lines are counted", func() bool { return s.remainder() == 6 })
	stop()
	s.write("a.log", strings.Repeat("mail sent\n", 5))
	stop = s.runOn(m)
	until(t, "the unit is billed", func() bool { return s.billed(sku) == 1 })
	stop()
	if left := s.remainder(); left != 4 {
		t.Errorf("%d are left", left)
	}
}

// remainder returns what waits for its unit.
func (s *site) remainder() (sum int64) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "state", ledger.FileName)+"?mode=ro")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	db.QueryRow("SELECT coalesce(sum(remainder), 0) FROM remainders").Scan(&sum)
	return sum
}
