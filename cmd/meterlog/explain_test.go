package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/recount"
	"github.com/meterlog/meterlog/internal/report"
	"github.com/meterlog/meterlog/internal/sandbox"
)

// explained is an application with its log and its ledger, in a folder of its
// own.
type explained struct {
	t   *testing.T
	dir string
}

func newExplained(t *testing.T, config string) *explained {
	e := &explained{t, t.TempDir()}
	t.Setenv("YC_METADATA_ADDR", "127.0.0.1:9")
	e.write("rules.yaml", "product_id: p\nstate: DIR/state\n"+config)
	return e
}

func (e *explained) path(name string) string { return filepath.Join(e.dir, name) }

func (e *explained) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name), []byte(strings.ReplaceAll(text, "DIR", e.dir)), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

func (e *explained) append(name, text string) {
	e.t.Helper()
	f, err := os.OpenFile(e.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	f.Close()
}

// meterlog runs a command and returns what it prints, and its exit code.
func (e *explained) meterlog(args ...string) (out string, code int) {
	e.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append(args, "--config", e.path("rules.yaml")), strings.NewReader(""), &stdout, &stderr)
	if code == exitUsage {
		e.t.Fatalf("%v: %s", args, stderr.String())
	}
	return stdout.String(), code
}

// bill counts and delivers what is there.
func (e *explained) bill() {
	e.t.Helper()
	if out, code := e.meterlog("run", "--once", "--sandbox", "--state", e.path("state"), "--log-level", "error"); code != exitDone {
		e.t.Fatalf("%d: %s", code, out)
	}
}

// explain explains every record, each with a tail of its notes.
func (e *explained) explain() (all []report.PublishedExplanation) {
	e.t.Helper()
	listed, _ := e.meterlog("records", "--format", "json")
	for line := range strings.Lines(listed) {
		var r report.PublishedRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			e.t.Fatal(err)
		}
		out, code := e.meterlog("explain", strings.ToUpper(r.UUID[:13]), "--format", "json")
		var x report.PublishedExplanation
		if err := json.Unmarshal([]byte(out), &x); err != nil {
			e.t.Fatal(err)
		}
		if x.UUID != r.UUID || x.Quantity != r.Quantity || (code == exitFailed) != (x.Verdict == recount.Different) {
			e.t.Errorf("exit code %d: %s", code, out)
		}
		all = append(all, x)
	}
	return all
}

const timedRules = `
sources:
  - path: DIR/app.log
    timestamp: {pattern: '^(\S+)', layout: rfc3339}
rules:
  - {name: mails, when: line contains "sent", sku_id: sku-mails}
  - {name: bytes, when: line contains "sent", quantity: 'extract(line, "size=([0-9]+)")', sku_id: sku-bytes}
  - {name: kilobytes, when: line contains "sent", quantity: 'extract(line, "size=([0-9]+)")', per: 1000, sku_id: sku-kilobytes}
`

// Whatever the lines of several windows are mixed like, and wherever they were
// moved to, they come to what was counted; and where a line is another, that is
// found.
func TestExplainRecounts(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 0))
			config := timedRules
			timed := chance.IntN(3) > 0
			if !timed {
				config = strings.Replace(config, "    timestamp: {pattern: '^(\\S+)', layout: rfc3339}\n", "", 1)
			}
			e := newExplained(t, config)
			wild := chance.IntN(2) == 0 // with lines that have no valid time
			lines := 0
			for range 1 + chance.IntN(5) {
				var text strings.Builder
				for range 10 + chance.IntN(60) {
					at := time.Now().Add(-time.Duration(chance.IntN(240)) * time.Second).UTC().Format(time.RFC3339)
					if wild && chance.IntN(10) == 0 {
						at = []string{"yesterday", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}[chance.IntN(2)]
					}
					event := []string{"sent", "queued"}[chance.IntN(2)]
					lines++
					fmt.Fprintf(&text, "%s line %d %s size=%d\n", at, lines, event, chance.IntN(900)+1)
				}
				e.append("app.log", text.String())
				e.bill()
			}
			check := func(when string, want ...recount.Outcome) {
				t.Helper()
				found := 0
				for _, x := range e.explain() {
					for _, c := range x.Contributions {
						found++
						if ok := c.Verdict == want[0] || len(want) > 1 && c.Verdict == want[1]; !ok {
							t.Errorf("%s: %s %s: %+v", when, x.SKU, x.Window, c)
						}
					}
				}
				if found == 0 {
					t.Errorf("%s: nothing was counted", when)
				}
			}
			tellable := []recount.Outcome{recount.Equal}
			if wild && timed {
				tellable = append(tellable, recount.Unknown)
			}
			check("in place", tellable...)
			if err := os.Rename(e.path("app.log"), e.path("app.log.2")); err != nil {
				t.Fatal(err)
			}
			e.append("app.log", "2026-01-01T00:00:00Z another sent size=1\n")
			check("renamed", tellable...)
			whole, err := os.ReadFile(e.path("app.log.2"))
			if err != nil {
				t.Fatal(err)
			}
			packed := new(bytes.Buffer)
			gz := gzip.NewWriter(packed)
			gz.Write(whole)
			gz.Close()
			os.Remove(e.path("app.log.2"))
			e.write("app.log.3.gz", packed.String())
			check("compressed", tellable...)
			os.Remove(e.path("app.log.3.gz"))
			check("removed", recount.Gone)
		})
	}
}

func TestExplainDifferences(t *testing.T) {
	const plainRules = `
sources: [{path: DIR/app.log}]
rules: [{name: mails, when: line contains "sent", sku_id: sku-mails}]
`
	e := newExplained(t, plainRules)
	padding := strings.Repeat("nothing to see here, but so that the head and the mark are far away\n", 40)
	e.append("app.log", padding+"mail 1 sent\nmail 2 sent\nmail 3 queued\nmail 4 sent\n"+padding)
	e.bill()
	contribution := func() report.PublishedContribution {
		t.Helper()
		all := e.explain()
		if len(all) != 1 || len(all[0].Contributions) != 1 {
			t.Fatalf("%+v", all)
		}
		return all[0].Contributions[0]
	}
	c := contribution()
	if c.Verdict != recount.Equal || c.Lines != 3 || c.RecountedLines != 3 || len(c.Counted) != 3 || c.Counted[1] != (report.PublishedLine{Offset: c.Start + 12, Quantity: "1", Line: "mail 2 sent"}) {
		t.Errorf("%+v", c)
	}
	for _, change := range []struct {
		name, from, to string
		want           recount.Outcome
		note           string
		lines          int64
	}{
		{"the rule counts less", `contains "sent"`, `contains "2 sent"`, recount.Different, "the rule was changed", 1},
		{"another SKU and more", `contains "sent", sku_id: sku-mails`, `contains "mail", sku_id: sku-other`, recount.Different, "for sku-other now", 4},
		{"the rule is gone", "name: mails", "name: letters", recount.Unknown, "the rule is not in the configuration", 0},
		{"the source is gone", "DIR/app.log", "DIR/other.log", recount.Unknown, "no source of the rule follows", 0},
	} {
		e.write("rules.yaml", "product_id: p\nstate: DIR/state\n"+strings.Replace(plainRules, change.from, change.to, 1))
		if c := contribution(); c.Verdict != change.want || !strings.Contains(c.Note, change.note) || c.RecountedLines != change.lines {
			t.Errorf("%s: %+v", change.name, c)
		}
	}
	e.write("rules.yaml", "product_id: p\nstate: DIR/state\n"+plainRules)
	text, err := os.ReadFile(e.path("app.log"))
	if err != nil {
		t.Fatal(err)
	}
	e.write("app.log", strings.Replace(string(text), "mail 2 sent", "mail 2 lost", 1))
	if c := contribution(); c.Verdict != recount.Different || c.RecountedLines != 2 {
		t.Errorf("a line was changed: %+v", c)
	}
}

// A record that was queued again leads to what it was counted from, and that to
// it.
func TestExplainFollowsReissues(t *testing.T) {
	// Its second answer rejects a record: the first is to a validation.
	model := sandbox.New(sandbox.Config{Faults: []sandbox.Fault{{Kind: sandbox.FaultPartial, Every: 2, Times: 1}}})
	ctx, cancel := context.WithCancel(t.Context())
	url, wait, err := model.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer wait()
	defer cancel()
	e := newExplained(t, `
sources: [{path: DIR/app.log}]
rules: [{name: mails, when: line contains "sent", sku_id: sku-mails}]
delivery: {endpoint: '`+url+`'}
`)
	t.Setenv("YC_METADATA_ADDR", strings.TrimPrefix(url, "http://"))
	t.Setenv("METERLOG_MACHINE_ID_FILE", e.path("none"))
	e.append("app.log", "mail 1 sent\n")
	e.meterlog("run", "--once", "--log-level", "error")
	if out, code := e.meterlog("retry", "--reason", "INVALID_SKU_ID"); code != exitDone {
		t.Fatal(out)
	}
	e.meterlog("run", "--once", "--log-level", "error")
	all := e.explain()
	if len(all) != 2 || all[0].State != "refused" || all[1].State != "accepted" {
		t.Fatalf("%+v", all)
	}
	if old := all[0]; len(old.Reissues) != 1 || old.Reissues[0].UUID != all[1].UUID || len(old.Originals) != 0 || old.Verdict != recount.Equal {
		t.Errorf("%+v", old)
	}
	if reissue := all[1]; len(reissue.Originals) != 1 || reissue.Originals[0].UUID != all[0].UUID || len(reissue.Contributions) != 1 || reissue.Verdict != recount.Equal {
		t.Errorf("%+v", reissue)
	}
	out, _ := e.meterlog("explain", all[1].UUID)
	for _, want := range []string{"issued before  " + all[0].UUID + ", refused: INVALID_SKU_ID\n", "\nmails      1       1        0    1\n", "\n  0: 1: mail 1 sent\n", "\nequal: "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// Peaks of keys whose lines are mixed, in windows that overlap, with units of several
// and of one, are each found again in their records.
func TestExplainPeaks(t *testing.T) {
	e := newExplained(t, `
sources:
  - {path: DIR/app.log, format: logfmt, timestamp: {field: ts, layout: rfc3339}, late: read}
rules:
  - {name: one, when: fields.n != nil, quantity: fields.n, sku_id: sku-one, peak: {each: hour, key: fields.k}}
  - {name: ten, when: fields.n != nil, quantity: fields.n, per: 10, sku_id: sku-ten, peak: {each: hour, key: fields.k}}
  - {name: all, when: fields.n != nil, quantity: fields.n, sku_id: sku-all, peak: {each: hour}}
`)
	random, end := rand.New(rand.NewPCG(1, 2)), time.Now().Truncate(time.Hour)
	var log strings.Builder
	for range 300 {
		at := end.Add(-time.Duration(1+random.IntN(3*3600)) * time.Second).UTC()
		fmt.Fprintf(&log, "ts=%s k=%d n=%d\n", at.Format(time.RFC3339), random.IntN(4), 1+random.IntN(500))
	}
	e.append("app.log", log.String())
	e.bill()
	smaller := int64(0)
	found := e.explain()
	for _, x := range found {
		if x.Verdict != recount.Equal {
			t.Errorf("%+v", x)
		}
		smaller += x.Contributions[0].SmallerLines
	}
	if len(found) < 3 || smaller == 0 {
		t.Errorf("%d records with %d smaller lines", len(found), smaller)
	}
	text, _ := os.ReadFile(e.path("app.log"))
	e.write("app.log", strings.ReplaceAll(string(text), " n=4", " n=3"))
	for _, x := range e.explain() {
		if x.Verdict == recount.Equal {
			t.Errorf("%s is equal though its lines have changed", x.SKU)
		}
	}
}
