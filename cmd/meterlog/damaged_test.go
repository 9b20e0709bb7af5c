package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/ledger"
)

// damagedRules have remainders, keys, peaks, a table and a clock.
const damagedRules = `sources:
  - {name: app, path: DIR/app*.log, format: json, timestamp: {field: time, layout: rfc3339}}
  - {name: text, path: DIR/text.log}
  - {name: clock, every: 1s}
rules:
  - {name: plain, source: app, when: fields.event == "a", sku_id: sku-plain}
  - {name: sum, source: app, when: fields.event == "a", sku_id: sku-sum, quantity: fields.n, per: 7}
  - {name: users, source: app, when: fields.event == "a", sku_id: sku-users, once: {key: fields.user, each: day}}
  - {name: jobs, source: app, when: fields.event == "a", sku_id: sku-jobs, once: {key: fields.user, within: 30m}, per: 3}
  - {name: peak, source: app, when: fields.n != nil, sku_id: sku-peak, quantity: fields.n, peak: {each: hour, key: fields.user}}
  - {name: table, source: app, when: fields.event == "a", sku_id: {by: fields.size, map: {s: sku-s, l: sku-l}, else: sku-e}, quantity: fields.x, decimals: 2}
  - {name: text, source: text, when: line contains "hello world", sku_id: sku-text}
  - {name: uptime, source: clock, when: true, sku_id: sku-up, per: 60}
`

// moreRows fills the tables that a short run leaves empty.
const moreRows = `
UPDATE records SET state = 'sealed', settled_at = '' WHERE id % 7 = 1;
UPDATE records SET state = 'refused', reason = 'INVALID_SKU_ID' WHERE id % 7 = 2;
UPDATE records SET state = 'in_doubt', reason = 'EXPIRED' WHERE id % 7 = 3;
INSERT INTO records (uuid, product_id, sku_id, window_start, window_end, timestamp, quantity, state, opened_at, sealed_at, reissue_of)
	SELECT '00000000-0000-4000-8000-000000000000', product_id, sku_id, window_start, window_end, timestamp, quantity, 'sealed', opened_at, sealed_at, id
	FROM records WHERE state = 'refused' LIMIT 1;
INSERT INTO reissued_shares SELECT (SELECT max(id) FROM records), rule, units FROM shares WHERE record_id = (SELECT reissue_of FROM records ORDER BY id DESC LIMIT 1);
INSERT INTO copies VALUES (1, 2, 3, 4, 5, 1);
INSERT INTO set_aside (rule, sku_id, made_with, remainder, waiting, at) VALUES ('sum', 'sku-sum', 'x', 3, 0, '2026-01-01T00:00:00.000Z');
INSERT OR IGNORE INTO problems VALUES ('ledger_unwritable', '', 'message', 'hint', '2026-01-01T00:00:00.000Z');
INSERT OR IGNORE INTO silences VALUES ('plain', date('now'), 5, 5);
INSERT OR IGNORE INTO anomalies VALUES ('gap', '/x', 1, 5, 'example', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
INSERT OR IGNORE INTO meta VALUES ('instance', 'another');
INSERT INTO generations (id, path, dev, ino, offset, head, mark, compressed, eof_at, state, missed, updated_at, trail, size, carry, before, names)
	SELECT 900, path || '.1', dev, 1, offset, head, mark, 0, -1, 'lost', 0, updated_at, randomblob(200), size, x'616263', id, '/a' || char(0) || '/b' || char(0)
	FROM generations WHERE path LIKE '%app.log';
INSERT INTO peak_stretches (rule, form, start, length, part, closes) SELECT rule, form, start - 86400, length, 0, closes - 86400 FROM peak_stretches LIMIT 1;
INSERT OR IGNORE INTO peaks SELECT (SELECT max(id) FROM peak_stretches), hash, amount, bill_id, generation_id, start_offset, end_offset, 0, one FROM peaks LIMIT 3;
`

// damagedValues are what the test puts into columns: values of the right type that
// cannot be, and values of another type.
var damagedValues = []any{
	int64(0), int64(-1), int64(7), int64(1 << 40), int64(math.MaxInt64), int64(math.MinInt64), 1.5, nil,
	"", "x", "\x00", "\xff\xfe", "-1", "%s%n", "9999-99-99T99:99:99Z", "2026-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z", "99999-01-01T00:00:00Z",
	strings.Repeat("x", 1<<20), strings.Repeat("\x00", 9), "9223372036854775808", "forgotten", "live", "open", "sealed",
	[]byte{}, []byte("x"), make([]byte, 15), make([]byte, 17), make([]byte, 64), bytes.Repeat([]byte("y"), 100_000),
}

// damage is a value for a column of some rows.
type damage struct {
	column string // with its table
	value  any
	where  string
}

// knownDamages ended a process once.
var knownDamages = []damage{
	{"shares decimals", int64(-5), "true"},
	{"shares decimals", int64(1 << 40), "true"},
	{"peak_bills decimals", int64(-1 << 40), "true"},
	{"records quantity", int64(-1 << 40), "random() % 2"},
	{"generations offset", int64(-1), "true"},
}

// TestDamagedRows puts wrong values into columns of a ledger whose pages are whole,
// and then uses every command. Damage may be an error and may show wrong numbers. It
// ends no process and leaves no command hanging. METERLOG_TEST_SEED runs another seed.
func TestDamagedRows(t *testing.T) {
	seed := uint64(1)
	if text := os.Getenv("METERLOG_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(seed, 13))
	e := newExplained(t, damagedRules)
	e.write("app.log", damagedLines(0, 60))
	e.write("text.log", strings.Repeat("hello world\n", 50))
	e.bill()
	e.query(e.path("state"), moreRows)
	e.append("app.log", damagedLines(60, 20))
	e.write("text.log.1", strings.Repeat("hello world\n", 50))
	e.write("text.log", "hello world\n")
	uuids := e.column(e.path("state"), `SELECT uuid FROM records GROUP BY sku_id ORDER BY random() LIMIT 2`)
	uuids = append(uuids, "00000000-0000-4000-8000-000000000000")
	columns := e.column(e.path("state"), `SELECT m.name || ' ' || c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1`)
	damages := slices.Clone(knownDamages)
	for range 6 {
		damages = append(damages, damage{
			columns[random.IntN(len(columns))], damagedValues[random.IntN(len(damagedValues))], []string{"true", "random() % 2"}[random.IntN(2)],
		})
	}
	for _, d := range damages {
		table, column, _ := strings.Cut(d.column, " ")
		value, some := d.value, d.where
		what := fmt.Sprintf("METERLOG_TEST_SEED=%d: %s.%s = %.30q where %s", seed, table, column, fmt.Sprint(value), some)
		fmt.Println(what) // a panic does not say it
		if !e.damage(table, column, value, some) {
			continue
		}
		for _, command := range [][]string{
			{"status"}, {"status", "--format", "json"}, {"records", "--format", "json"}, {"totals", "--by", "day"},
			{"explain", uuids[0]}, {"explain", uuids[1]}, {"explain", uuids[2]}, {"retry", "--reason", "INVALID_SKU_ID"},
			{"run", "--once", "--sandbox"}, {"run", "--sandbox"}, {"status"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 200 * time.Millisecond, false: 30 * time.Second}[command[0] == "run"])
			root := newRoot()
			root.SetArgs(append(command, "--config", e.path("rules.yaml"), "--state-dir", e.path("damaged")))
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			err := root.ExecuteContext(ctx) // it may fail
			if errors.Is(err, context.DeadlineExceeded) && command[0] != "run" {
				t.Errorf("%s: %v: %v", what, command, err)
			}
			cancel()
		}
	}
}

// damagedLines are lines of the last hour.
func damagedLines(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		at := time.Now().Add(-time.Duration(i*7%50) * time.Minute).UTC().Format(time.RFC3339)
		fmt.Fprintf(&b, `{"time":"%s","event":"a","user":"u%d","n":%d,"size":"%c","x":"1.25"}`+"\n", at, i%13, i%50+1, "sl?"[i%3])
	}
	return b.String()
}

// damage makes a copy of the state folder and puts a value into a column of it. The
// copy's tables take any value, so that the check of types at the start finds nothing. It
// reports whether the column can hold the value: a key of a table may not.
func (e *explained) damage(table, column string, value any, some string) bool {
	e.t.Helper()
	damaged := e.path("damaged")
	if err := os.RemoveAll(damaged); err != nil {
		e.t.Fatal(err)
	}
	if err := os.CopyFS(damaged, os.DirFS(e.path("state"))); err != nil {
		e.t.Fatal(err)
	}
	e.query(damaged, `PRAGMA writable_schema = 1;
		UPDATE sqlite_schema SET sql = replace(replace(replace(replace(replace(sql, ' STRICT, WITHOUT ROWID', ' WITHOUT ROWID'), ' STRICT', ''), 'NOT NULL', ''), 'CHECK (quantity > 0)', ''),
			'CHECK (state IN (''open'', ''sealed'', ''accepted'', ''refused'', ''expired'', ''in_doubt'', ''foreign''))', '') WHERE type = 'table'`)
	e.query(damaged, `DROP TRIGGER records_never_change; DROP TRIGGER records_stay_sealed`)
	err := e.exec(damaged, `UPDATE OR IGNORE `+table+` SET `+column+` = ? WHERE `+some, value)
	return err == nil
}

// query executes statements on the ledger in a folder.
func (e *explained) query(dir, statements string) {
	e.t.Helper()
	if err := e.exec(dir, statements); err != nil {
		e.t.Fatalf("%v in %s", err, statements)
	}
}

func (e *explained) exec(dir, statements string, args ...any) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, ledger.FileName))
	if err == nil {
		defer db.Close()
		db.SetMaxOpenConns(1)
		_, err = db.Exec(statements, args...)
	}
	return err
}

// column returns the first column of a query.
func (e *explained) column(dir, query string) (all []string) {
	e.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, ledger.FileName))
	if err != nil {
		e.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		e.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			e.t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}
