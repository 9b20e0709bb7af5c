package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/meterlog/meterlog/internal/store"
)

// applicationID is in the header of the database (PRAGMA application_id):
// "mlog" in ASCII.
const applicationID = 0x6d6c6f67

var schema = store.Schema{ApplicationID: applicationID, Tables: []string{"generations", "records"}, Migrate: migrate}

// migrations[i] brings a database from schema version i to i+1 (PRAGMA
// user_version). They are never edited, only added to.
//
// Times are text in RFC 3339, UTC: instants with milliseconds, windows with
// seconds, so that they sort and a person can read them.
var migrations = []string{`
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Patterns of sources whose first scan is behind us: files that they match
-- from now on are new, and read from their beginning.
CREATE TABLE globs (
	pattern    TEXT PRIMARY KEY,
	first_scan TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE generations (
	id         INTEGER PRIMARY KEY,
	path       TEXT    NOT NULL,
	dev        INTEGER NOT NULL,
	ino        INTEGER NOT NULL,
	offset     INTEGER NOT NULL,
	head       BLOB    NOT NULL,
	mark       BLOB    NOT NULL,
	compressed INTEGER NOT NULL,
	eof_at     INTEGER NOT NULL,
	state      TEXT    NOT NULL,
	missed     INTEGER NOT NULL,
	updated_at TEXT    NOT NULL
) STRICT;

CREATE TABLE records (
	id           INTEGER PRIMARY KEY,
	uuid         TEXT    NOT NULL UNIQUE,
	product_id   TEXT    NOT NULL,
	sku_id       TEXT    NOT NULL,
	window_start TEXT    NOT NULL,
	window_end   TEXT    NOT NULL,
	quantity     INTEGER NOT NULL CHECK (quantity > 0),
	state        TEXT    NOT NULL CHECK (state IN ('open', 'sealed', 'accepted', 'refused', 'expired', 'in_doubt', 'foreign')),
	reason       TEXT    NOT NULL DEFAULT '',
	attempts     INTEGER NOT NULL DEFAULT 0,
	in_flight    INTEGER NOT NULL DEFAULT 0, -- an attempt has begun and not been settled
	maybe_stored INTEGER NOT NULL DEFAULT 0, -- an attempt ended without telling whether it was stored
	not_before   TEXT    NOT NULL DEFAULT '',
	opened_at    TEXT    NOT NULL,
	sealed_at    TEXT    NOT NULL DEFAULT '',
	settled_at   TEXT    NOT NULL DEFAULT '',
	reissue_of   INTEGER REFERENCES records (id) ON DELETE SET NULL
) STRICT;
CREATE UNIQUE INDEX records_open     ON records (product_id, sku_id, window_start) WHERE state = 'open';
CREATE INDEX        records_closing  ON records (window_end)               WHERE state = 'open';
CREATE INDEX        records_pending  ON records (window_start, id)         WHERE state = 'sealed';
CREATE INDEX        records_settled  ON records (settled_at)               WHERE settled_at <> '';
CREATE INDEX        records_reissues ON records (reissue_of)               WHERE reissue_of IS NOT NULL;

-- What each rule gave to a record: units * per = amounts + carried, where the
-- amounts are those of its contributions and carried is what was left over
-- before, less what is left over for later.
CREATE TABLE shares (
	record_id INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
	rule      TEXT    NOT NULL,
	per       INTEGER NOT NULL,
	carried   INTEGER NOT NULL,
	units     INTEGER NOT NULL,
	PRIMARY KEY (record_id, rule)
) STRICT, WITHOUT ROWID;

-- Which lines went into a record. record_id 0: their amount has not made a
-- whole unit yet; they go to the record that it completes.
CREATE TABLE contributions (
	record_id     INTEGER NOT NULL,
	rule          TEXT    NOT NULL,
	sku_id        TEXT    NOT NULL,
	generation_id INTEGER NOT NULL,
	start_offset  INTEGER NOT NULL,
	end_offset    INTEGER NOT NULL,
	lines         INTEGER NOT NULL,
	amount        INTEGER NOT NULL,
	PRIMARY KEY (record_id, rule, sku_id, generation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX contributions_generation ON contributions (generation_id);

-- What is left of the amounts of rules with per: always less than per.
CREATE TABLE remainders (
	rule      TEXT    NOT NULL,
	sku_id    TEXT    NOT NULL,
	remainder INTEGER NOT NULL,
	PRIMARY KEY (rule, sku_id)
) STRICT, WITHOUT ROWID;

-- What went wrong with the input, counted by kind and rule, source or path.
CREATE TABLE anomalies (
	kind     TEXT    NOT NULL,
	subject  TEXT    NOT NULL,
	count    INTEGER NOT NULL,
	bytes    INTEGER NOT NULL,
	example  TEXT    NOT NULL,
	first_at TEXT    NOT NULL,
	last_at  TEXT    NOT NULL,
	PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
`, `
-- Hashes of the last lines before the position, while a file may lose its end.
ALTER TABLE generations ADD COLUMN trail BLOB NOT NULL DEFAULT x'';

CREATE INDEX records_window ON records (window_start);
CREATE INDEX records_unbilled ON records (state) WHERE state IN ('refused', 'expired', 'in_doubt', 'foreign');

-- How many records there are and what they come to, kept by the triggers below
-- so that nobody has to add up all of them; pruned is what has left the ledger.
-- Sums over 2^63-1 turn into floating point numbers.
CREATE TABLE totals (
	product_id     TEXT NOT NULL,
	sku_id         TEXT NOT NULL,
	state          TEXT NOT NULL,
	records        INTEGER NOT NULL,
	units          ANY NOT NULL,
	pruned_records INTEGER NOT NULL DEFAULT 0,
	pruned_units   ANY NOT NULL DEFAULT 0,
	PRIMARY KEY (product_id, sku_id, state)
) STRICT, WITHOUT ROWID;
INSERT INTO totals (product_id, sku_id, state, records, units)
	SELECT product_id, sku_id, state, count(*), sum(quantity) FROM records GROUP BY product_id, sku_id, state;
CREATE TRIGGER records_added AFTER INSERT ON records BEGIN
	INSERT INTO totals (product_id, sku_id, state, records, units) VALUES (new.product_id, new.sku_id, new.state, 1, new.quantity)
		ON CONFLICT DO UPDATE SET records = records + 1, units = units + excluded.units;
END;
CREATE TRIGGER records_changed AFTER UPDATE OF state, quantity ON records BEGIN
	UPDATE totals SET records = records - 1, units = units - old.quantity
		WHERE product_id = old.product_id AND sku_id = old.sku_id AND state = old.state;
	INSERT INTO totals (product_id, sku_id, state, records, units) VALUES (new.product_id, new.sku_id, new.state, 1, new.quantity)
		ON CONFLICT DO UPDATE SET records = records + 1, units = units + excluded.units;
END;
CREATE TRIGGER records_pruned AFTER DELETE ON records BEGIN
	UPDATE totals SET records = records - 1, units = units - old.quantity,
		pruned_records = pruned_records + 1, pruned_units = pruned_units + old.quantity
		WHERE product_id = old.product_id AND sku_id = old.sku_id AND state = old.state;
END;

-- What the running agent finds wrong at present.
CREATE TABLE problems (
	code    TEXT NOT NULL,
	subject TEXT NOT NULL, -- path or address that it is about; '' where none
	message TEXT NOT NULL,
	hint    TEXT NOT NULL, -- what to do about it
	since   TEXT NOT NULL,
	PRIMARY KEY (code, subject)
) STRICT, WITHOUT ROWID;
`, `
-- What a remainder was made with: its rule's quantity, per and product. Empty:
-- an older meterlog made it and did not say.
ALTER TABLE remainders ADD COLUMN made_with TEXT NOT NULL DEFAULT '';

-- Remainders that were set aside because their rule changed. The rule began
-- again at 0.
CREATE TABLE set_aside (
	id        INTEGER PRIMARY KEY,
	rule      TEXT    NOT NULL,
	sku_id    TEXT    NOT NULL,
	made_with TEXT    NOT NULL,
	remainder INTEGER NOT NULL,
	waiting   INTEGER NOT NULL, -- the part of it that no record knows the lines of
	at        TEXT    NOT NULL
) STRICT;

-- How long each rule has found nothing: bytes of its sources, and seconds in
-- which an agent watched them.
CREATE TABLE activity (
	rule        TEXT    PRIMARY KEY,
	first_match TEXT    NOT NULL,
	last_match  TEXT    NOT NULL,
	bytes       INTEGER NOT NULL,
	seconds     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The longest silences of each rule that ended on a day, for 15 days.
CREATE TABLE silences (
	rule    TEXT    NOT NULL,
	day     TEXT    NOT NULL,
	bytes   INTEGER NOT NULL,
	seconds INTEGER NOT NULL,
	PRIMARY KEY (rule, day)
) STRICT, WITHOUT ROWID;
`, `
-- Whether the attempt in flight may be refused for the record's time, and
-- whether an attempt that was never answered may have been: the API may have
-- taken note of the uuid then without storing the record.
ALTER TABLE records ADD COLUMN refusable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN maybe_refused INTEGER NOT NULL DEFAULT 0;
`, `
-- Of a generation's file at the last look: its size, when it was written to,
-- changed and made (nanoseconds since 1970); and the beginning of its first line,
-- with which an earlier generation ended.
ALTER TABLE generations ADD COLUMN size  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN mtime INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN ctime INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN born  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN carry BLOB NOT NULL DEFAULT x'';

-- Files that hold what is counted as a generation, with the look at which that
-- was found: it is true of no other look.
CREATE TABLE copies (
	dev           INTEGER NOT NULL,
	ino           INTEGER NOT NULL,
	size          INTEGER NOT NULL,
	mtime         INTEGER NOT NULL,
	ctime         INTEGER NOT NULL,
	generation_id INTEGER NOT NULL,
	PRIMARY KEY (dev, ino)
) STRICT, WITHOUT ROWID;
`, `
-- What each rule gave to a record that issues a refused one again, where that
-- differs from the refused one: it was parted, or its SKU or product changed.
CREATE TABLE reissued_shares (
	record_id INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
	rule      TEXT    NOT NULL,
	units     INTEGER NOT NULL,
	PRIMARY KEY (record_id, rule)
) STRICT, WITHOUT ROWID;
`, `
-- Of a source without files: what chooses its events. Offsets count something else
-- than bytes then: for the clock, seconds since 1970.
ALTER TABLE generations ADD COLUMN query TEXT NOT NULL DEFAULT '';
`, `
-- The values that have led to a SKU where a rule chooses it by a table: "=" and the
-- value, or "else". A refused record is issued again under the SKU that its values
-- have then.
CREATE TABLE sku_values (
	rule   TEXT NOT NULL,
	sku_id TEXT NOT NULL,
	value  TEXT NOT NULL,
	PRIMARY KEY (rule, sku_id, value)
) STRICT, WITHOUT ROWID;
`, `
-- The generation whose file was truncated when this one began; 0 where there is
-- none. Its last line may end in this one.
ALTER TABLE generations ADD COLUMN before INTEGER NOT NULL DEFAULT 0;
`, `
-- To how many decimal places a rule keeps its amounts: what is carried, what
-- remains, per and the amounts of its contributions are whole numbers of the last
-- place.
ALTER TABLE shares     ADD COLUMN decimals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE remainders ADD COLUMN decimals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE set_aside  ADD COLUMN decimals INTEGER NOT NULL DEFAULT 0;
`, `
-- When the latest event happened that the record counts: within its window. The
-- API gets it as the record's time.
ALTER TABLE records ADD COLUMN timestamp TEXT NOT NULL DEFAULT '';
UPDATE records SET timestamp = window_start;
DROP INDEX records_pending;
CREATE INDEX records_pending ON records (timestamp, id) WHERE state = 'sealed';
`, `
-- Stretches of time in which rules with once have counted keys. The keys of a
-- forgotten one are gone, and a line of its time counts nothing.
CREATE TABLE stretches (
	id        INTEGER PRIMARY KEY,
	rule      TEXT    NOT NULL,
	form      TEXT    NOT NULL, -- the key and the stretch in the configuration's words
	start     INTEGER NOT NULL, -- seconds since 1970
	length    INTEGER NOT NULL, -- seconds
	within    INTEGER NOT NULL, -- seconds; 0: a key counts once in the stretch
	touched   INTEGER NOT NULL, -- when a key was added last, in seconds since 1970
	forgotten INTEGER NOT NULL DEFAULT 0,
	UNIQUE (rule, form, start)
) STRICT;

-- The keys that rules with once have counted, hashed, and the line that counted
-- each. Its record is that of its window whose contribution holds the offset.
CREATE TABLE keys (
	stretch_id    INTEGER NOT NULL,
	hash          BLOB    NOT NULL,
	at            INTEGER NOT NULL, -- with within: milliseconds since the stretch began
	generation_id INTEGER NOT NULL,
	offset        INTEGER NOT NULL,
	window        INTEGER NOT NULL, -- its start, in seconds since the stretch began
	PRIMARY KEY (stretch_id, hash, at)
) STRICT, WITHOUT ROWID;
`, `
-- Stretches of time of rules with peak. While one is open its peaks may grow.
CREATE TABLE peak_stretches (
	id     INTEGER PRIMARY KEY,
	rule   TEXT    NOT NULL,
	form   TEXT    NOT NULL, -- the key and the stretch in the configuration's words
	start  INTEGER NOT NULL, -- seconds since 1970, as all times here
	length INTEGER NOT NULL,
	part   INTEGER NOT NULL, -- above 0 while an earlier part may be another machine's
	closes INTEGER NOT NULL, -- not before
	closed INTEGER NOT NULL DEFAULT 0, -- when it was; 0: it is open
	UNIQUE (rule, form, start, part)
) STRICT;
CREATE INDEX peak_stretches_open   ON peak_stretches (closes) WHERE closed = 0;
CREATE INDEX peak_stretches_closed ON peak_stretches (closed) WHERE closed > 0;

-- What the rule of a peak billed when the line was read.
CREATE TABLE peak_bills (
	id         INTEGER PRIMARY KEY,
	product_id TEXT    NOT NULL,
	sku_id     TEXT    NOT NULL,
	per        INTEGER NOT NULL,
	decimals   INTEGER NOT NULL,
	made_with  TEXT    NOT NULL,
	late_read  TEXT    NOT NULL, -- the source of the line if it has late: read
	UNIQUE (product_id, sku_id, per, decimals, made_with, late_read)
) STRICT;

-- The largest line of each stretch and key. It counts when its stretch is closed.
CREATE TABLE peaks (
	stretch_id    INTEGER NOT NULL,
	hash          BLOB    NOT NULL, -- of the key
	amount        INTEGER NOT NULL,
	bill_id       INTEGER NOT NULL,
	generation_id INTEGER NOT NULL,
	start_offset  INTEGER NOT NULL,
	end_offset    INTEGER NOT NULL,
	record_id     INTEGER NOT NULL DEFAULT 0, -- 0: it does not count yet, or waits for its unit
	PRIMARY KEY (stretch_id, hash)
) STRICT, WITHOUT ROWID;
`, `
-- 1 once the disk was copied to another machine: what the file holds then is left to
-- the first one.
ALTER TABLE generations ADD COLUMN left_to_other INTEGER NOT NULL DEFAULT 0;
`, `
-- Other names that led to a generation's file, each with a NUL after it: followed
-- paths, and where links ended.
ALTER TABLE generations ADD COLUMN names TEXT NOT NULL DEFAULT '';
`, `
-- A record never changes. What the API may have under its uuid stays as it was when
-- the record was sealed.
CREATE TRIGGER records_never_change BEFORE UPDATE OF uuid, product_id, sku_id, window_start, window_end, timestamp, quantity ON records
	WHEN old.state <> 'open' AND (new.uuid, new.product_id, new.sku_id, new.window_start, new.window_end, new.timestamp, new.quantity)
		IS NOT (old.uuid, old.product_id, old.sku_id, old.window_start, old.window_end, old.timestamp, old.quantity)
BEGIN
	SELECT RAISE(ABORT, 'a sealed record never changes');
END;
CREATE TRIGGER records_stay_sealed BEFORE UPDATE OF state ON records WHEN old.state <> 'open' AND new.state = 'open'
BEGIN
	SELECT RAISE(ABORT, 'a sealed record is never opened again');
END;
`, `
-- What 1 is in the amount of a peak: 10 to the power of its decimals. Peaks of two
-- numbers of decimals are compared by it.
ALTER TABLE peaks ADD COLUMN one INTEGER NOT NULL DEFAULT 1;
UPDATE peaks SET one = (SELECT CAST('1' || substr('000000000', 1, decimals) AS INTEGER) FROM peak_bills WHERE id = bill_id);
`, `
-- Finished generations come from here when something asks for them, with their copies.
CREATE INDEX copies_of ON copies (generation_id);
`,
}

// migrate brings the database to the newest schema, one version a transaction.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return newerSchema(version)
	}
	for ; version < len(migrations); version++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version+1, err)
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func newerSchema(version int) error {
	return fmt.Errorf("its schema version is %d and this meterlog knows %d: install the newer meterlog again", version, len(migrations))
}
