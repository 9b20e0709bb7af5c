package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/monitor"
)

// town is a machine with ordinary logs: a shop that sells day and night, an
// office that rests at night and on weekends, an API with bursts, a mail server in
// Moscow, an exporter, a job each night, a gate, a till, and a quiet customer register.
const town = `
sources:
  - {name: shop, path: DIR/logs/shop.log, format: json, timestamp: {field: ts, layout: rfc3339}}
  - {name: office, path: DIR/logs/office.log}
  - name: api
    path: DIR/logs/access.log
    format: regexp
    pattern: '^(?P<client>\S+) \S+ (?P<user>.*?) \[(?P<time>[^\]]+)\] "(?:(?P<method>[A-Z]+) (?P<path>\S+) [^"]*|(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    timestamp: {field: time, layout: 02/Jan/2006:15:04:05 -0700}
  - name: mail
    path: DIR/logs/mail.log
    timestamp: {pattern: '^(\w{3} [ \d]\d \d\d:\d\d:\d\d) ', layout: Jan _2 15:04:05, location: Europe/Moscow}
  - {name: worker, path: DIR/logs/worker.log, format: logfmt, timestamp: {field: time, layout: iso8601}}
  - {name: exporter, path: DIR/logs/exporter.log, format: logfmt}
  - {name: jobs, path: DIR/logs/job-*.log, format: json, timestamp: {field: started, layout: unix}}
  - {name: gate, path: DIR/logs/gate.log, format: json}
  - {name: till, path: DIR/logs/till.log, format: json}
  - {name: register, path: DIR/logs/register.log, format: json}
rules:
  - {name: orders, source: shop, when: fields.event == "order.paid", sku_id: s1}
  - {name: reports, source: office, when: line contains "report created", sku_id: s2}
  - {name: calls, source: api, when: fields.path startsWith "/api/", sku_id: s3}
  - {name: mails, source: mail, when: line contains "status=sent", sku_id: s4}
  - {name: tasks, source: worker, when: fields.event == "task.done", sku_id: s5}
  - {name: bytes, source: exporter, when: fields.event == "export.finished", quantity: fields.bytes, sku_id: s6}
  - {name: rows, source: jobs, when: fields.event == "job.done", quantity: fields.rows, sku_id: s7}
  - {name: visits, source: gate, when: fields.level == "info" and fields.event == "in", sku_id: s8}
  - {name: sales, source: till, when: fields.event == "sold", sku_id: s9}
  - {name: customers, source: register, when: fields.event == "new", sku_id: s10}
`

// townLife writes the logs of a town, minute by minute.
type townLife struct {
	*watched
	random *rand.Rand
	moscow *time.Location
	broken time.Time // from then on each log is written in another way
	cut    bool      // the till's line was cut
	job    int       // minutes that the job of tonight still takes; 0 where none runs
	began  time.Time // when the job did
}

// append writes lines to a log as of the present.
func (w *townLife) append(name, format string, args ...any) {
	w.write(name, fmt.Sprintf(format, args...)+"\n")
	for _, path := range []string{w.path(name), filepath.Join(w.dir, "logs")} { // both were written at the clock's time
		if err := os.Chtimes(path, w.clock, w.clock); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *townLife) chance(p float64) bool { return w.random.Float64() < p }

// minute writes what happens within a minute.
func (w *townLife) minute(now time.Time) {
	w.clock = now
	broken := !now.Before(w.broken)
	local := now.In(w.moscow)
	if local.Hour() == 0 && local.Minute() == 0 {
		w.midnight()
	}
	w.shop(now, broken)
	w.append("office.log", "%s", strings.Repeat("health check ok; ", 40))
	if d := local.Weekday(); d != time.Saturday && d != time.Sunday && local.Hour() >= 9 && local.Hour() < 18 && w.chance(0.2) {
		w.append("office.log", "report created by anna")
	}
	w.api(now, broken)
	w.mail(now, broken)
	w.worker(now, broken)
	if w.chance(0.05) {
		unit := ""
		if broken {
			unit = "B"
		}
		w.append("exporter.log", "event=export.finished bytes=%d%s", w.random.IntN(1<<30), unit)
	}
	w.nightly(now, local, broken)
	w.gate(broken)
	w.till(broken)
	w.register(broken)
	if local.Hour() == 4 && local.Minute() == 30 { // the machine is updated
		w.end()
		w.startAt(now)
	}
	for drained := false; !drained; {
		var err error
		if drained, err = w.agent.meter.read(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// midnight rotates the logs by rename, or by copytruncate, and removes older ones.
func (w *townLife) midnight() {
	copied := must(os.ReadFile(w.path("office.log")))
	if err := os.WriteFile(w.path("office.log.1"), copied, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Truncate(w.path("office.log"), 0); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"shop.log", "access.log", "mail.log"} {
		w.rename(name, strings.TrimSuffix(name, ".log")+".1")
		w.append(name, "")
	}
	old, _ := filepath.Glob(w.path("job-*.log"))
	for i, path := range old {
		if i < len(old)-3 {
			os.Remove(path)
		}
	}
}

// shop breaks by a field with another name.
func (w *townLife) shop(now time.Time, broken bool) {
	name := "event"
	if broken {
		name = "kind"
	}
	w.append("shop.log", `{"ts":%q,%q:"page.viewed","text":%q}`, now.Format(time.RFC3339Nano), name, strings.Repeat("x", 16<<10))
	if w.chance(0.3) {
		w.append("shop.log", `{"ts":%q,%q:"order.paid"}`, now.Format(time.RFC3339Nano), name)
	}
}

// api has bursts, and clients that send anything. It breaks by another format.
func (w *townLife) api(now time.Time, broken bool) {
	calls := w.random.IntN(2)
	if now.Hour()%8 < 2 {
		calls = 20
	}
	for range calls {
		request := "GET /api/items HTTP/1.1"
		if w.chance(0.1) {
			request = []string{`\x16\x03\x01`, "GET /", "", `GET /a\"b HTTP/1.1`}[w.random.IntN(4)]
		}
		if broken {
			w.append("access.log", `{"time":%q,"request":"GET /api/items HTTP/1.1","status":200}`, now.Format(time.RFC3339))
			continue
		}
		w.append("access.log", `10.0.0.7 - - [%s] "%s" 200 512 "-" "curl"`, now.In(w.moscow).Format("02/Jan/2006:15:04:05 -0700"), request)
	}
}

// mail breaks by a machine that is set to UTC.
func (w *townLife) mail(now time.Time, broken bool) {
	zone := w.moscow
	if broken {
		zone = time.UTC
	}
	at := now.Add(-time.Duration(w.random.IntN(2000)) * time.Millisecond).In(zone).Format(time.Stamp)
	if w.chance(0.4) {
		w.append("mail.log", "%s mx1 postfix/smtp[9]: to=<a@example.org>, status=sent (250 Ok)", at)
	}
	w.append("mail.log", "%s mx1 postfix/anvil[7]: statistics", at)
}

// worker breaks by local times without a zone.
func (w *townLife) worker(now time.Time, broken bool) {
	at := now.Format("2006-01-02 15:04:05,000+00")
	if broken {
		at = now.In(w.moscow).Format("2006-01-02 15:04:05,000")
	}
	if w.chance(0.3) {
		w.append("worker.log", `time=%q event=task.done n=1`, at)
	}
}

// nightly runs a job each night, which tells when it began. It breaks by a field
// that is gone.
func (w *townLife) nightly(now, local time.Time, broken bool) {
	if local.Hour() == 2 && local.Minute() == 0 {
		w.job, w.began = 20+w.random.IntN(60), now
	}
	if w.job == 0 {
		return
	}
	if w.job--; w.job > 0 {
		return
	}
	started := fmt.Sprintf(`"started":%d,`, w.began.Unix())
	if broken {
		started = ""
	}
	w.append("job-"+local.Format(time.DateOnly)+".log", `{%s"event":"job.done","rows":%d}`, started, 1+w.random.IntN(1000))
}

// gate breaks by a level with capital letters.
func (w *townLife) gate(broken bool) {
	level := "info"
	if broken {
		level = "INFO"
	}
	w.append("gate.log", `{"level":%q,"event":"beat","text":%q}`, level, strings.Repeat("x", 8<<10))
	if w.chance(0.3) {
		w.append("gate.log", `{"level":%q,"event":"in"}`, level)
	}
}

// till breaks by a disk that is full for a while: a line ends in its middle.
func (w *townLife) till(broken bool) {
	if !w.chance(0.2) {
		return
	}
	if broken && !w.cut {
		w.cut = true
		w.write("till.log", `{"event":"sold","pri`)
		return
	}
	w.append("till.log", `{"event":"sold","price":5}`)
}

// register has some lines a day. It breaks by a prefix.
func (w *townLife) register(broken bool) {
	if !w.chance(0.02) {
		return
	}
	prefix := ""
	if broken {
		prefix = "host register[7]: "
	}
	w.append("register.log", `%s{"event":"new"}`, prefix)
}

// problems returns what the status shows, except what belongs to the delivery, which
// does not run here, and the history of the logs.
func (w *townLife) problems() (all []string) {
	w.t.Helper()
	subject := monitor.Subject{Dir: filepath.Join(w.dir, "state"), Config: w.config, Health: w.agent.meter.health}
	st := must(subject.Status(w.t.Context(), w.clock))
	for _, p := range slices.Concat(st.Problems, st.Notes) {
		if p.Code != "time_running_out" && p.Code != "not_running" && p.Code != "history" {
			all = append(all, p.Code+": "+p.Message)
		}
		if p.Hint == "" {
			w.t.Errorf("%s has no hint", p.Code)
		}
	}
	return all
}

// A week of ordinary logs raises no alarm. When each product then logs in another
// way from a midnight on, the status reports each of the changes.
func TestWeekOfOrdinaryLogs(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it writes a week of logs")
	}
	t.Parallel()
	moscow := must(time.LoadLocation("Europe/Moscow"))
	// It begins on a Thursday that is still to come: the files were made before.
	ahead := time.Now().In(moscow).AddDate(0, 0, 1)
	for ahead.Weekday() != time.Thursday {
		ahead = ahead.AddDate(0, 0, 1)
	}
	begin := time.Date(ahead.Year(), ahead.Month(), ahead.Day(), 11, 17, 0, 0, moscow).UTC()
	s := newSite(t, town)
	s.config.Interval = time.Minute
	w := &townLife{watched: &watched{site: s, clock: begin}, random: rand.New(rand.NewPCG(7, 7)), moscow: moscow}
	w.broken = time.Date(ahead.Year(), ahead.Month(), ahead.Day()+8, 0, 0, 0, 0, moscow) // a Friday
	for _, name := range []string{"shop.log", "access.log", "mail.log", "worker.log", "exporter.log", "office.log", "gate.log", "till.log", "register.log", "job-1.log"} {
		w.append(name, "")
	}
	w.startAt(begin)
	now := begin
	for ; now.Before(w.broken); now = now.Add(time.Minute) {
		if w.minute(now); now.Minute() == 17 && now.Hour()%3 == 0 {
			if found := w.problems(); len(found) > 0 {
				t.Fatalf("at %v: %q", now.In(moscow), found)
			}
		}
	}
	told := make(map[string]time.Duration)
	for ; now.Before(w.broken.Add(5 * time.Hour)); now = now.Add(time.Minute) {
		if w.minute(now); now.Minute()%10 != 0 {
			continue
		}
		for _, p := range w.problems() {
			for _, want := range breaks {
				if strings.HasPrefix(p, want.problem) && strings.Contains(p, want.of) && told[want.problem+want.of] == 0 {
					told[want.problem+want.of] = now.Sub(w.broken)
				}
			}
			if !slices.ContainsFunc(breaks, func(b brokenLog) bool { return strings.HasPrefix(p, b.problem) && strings.Contains(p, b.of) }) {
				t.Errorf("nothing is broken there: %s", p)
			}
		}
	}
	for _, want := range breaks {
		if after := told[want.problem+want.of]; after == 0 || after > want.within {
			t.Errorf("%s %q is reported after %v, want within %v", want.problem, want.of, after, want.within)
		}
	}
}

// brokenLog is how a product's log breaks, and what reports it.
type brokenLog struct {
	problem, of string
	within      time.Duration
}

var breaks = []brokenLog{
	{"rule_silent: ", "rule orders", 3 * time.Hour},                           // a field has another name
	{"rule_silent: ", "rule visits", 4 * time.Hour},                           // a level has another spelling
	{"not_parsed: ", "format: perhaps they are usage: api", 10 * time.Minute}, // another format
	{"not_parsed: ", "format: perhaps they are usage: till", 40 * time.Minute},
	{"not_parsed: ", "format: perhaps they are usage: register", 5 * time.Hour},
	{"times_off: ", "source mail are always 3h behind", 90 * time.Minute},
	{"times_off: ", "source worker are always 3h ahead", 90 * time.Minute},
	{"bad_timestamp: ", "worker: ", 30 * time.Minute}, // ahead of the clock
	{"rule_error: ", "bytes: ", 2 * time.Hour},        // a quantity with a unit
	{"bad_timestamp: ", "jobs: ", 4 * time.Hour},      // the time is gone
}
