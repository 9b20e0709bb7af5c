package ledger

import (
	"context"
	"database/sql"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

const (
	dayLayout = "2006-01-02"

	// silenceDays is how long the longest silences of a day are kept.
	silenceDays = 15
)

// putActivity replaces what is known of the rules.
func (t *transaction) putActivity(activity []meter.Activity, now time.Time) error {
	for _, a := range activity {
		if _, err := t.exec(`INSERT INTO activity (rule, first_match, last_match, bytes, seconds) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET first_match = excluded.first_match, last_match = excluded.last_match, bytes = excluded.bytes, seconds = excluded.seconds`,
			a.Rule, instant(a.FirstMatch), instant(a.LastMatch), a.Silence.Bytes, seconds(a.Silence.Time)); err != nil {
			return err
		}
		if len(a.Longest) == 0 {
			continue
		}
		today := a.Longest[len(a.Longest)-1] // the days before it have not changed
		if _, err := t.exec(`INSERT INTO silences (rule, day, bytes, seconds) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET bytes = max(bytes, excluded.bytes), seconds = max(seconds, excluded.seconds)`,
			a.Rule, today.Day.Format(dayLayout), today.Bytes, seconds(today.Time)); err != nil {
			return err
		}
	}
	if len(activity) == 0 {
		return nil
	}
	_, err := t.exec(`DELETE FROM silences WHERE day < ?`, now.UTC().AddDate(0, 0, -silenceDays).Format(dayLayout))
	return err
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Activity returns what is known of every rule that was ever watched, by name.
func (r *Reader) Activity(ctx context.Context) ([]meter.Activity, error) {
	all, err := query(ctx, r.db, "activity", func(rows *sql.Rows) (a meter.Activity, err error) {
		var first, last string
		var silent int64
		err = rows.Scan(&a.Rule, &first, &last, &a.Silence.Bytes, &silent)
		a.FirstMatch, a.LastMatch = parseInstant(first), parseInstant(last)
		a.Silence.Time = time.Duration(silent) * time.Second
		return a, err
	}, `SELECT rule, first_match, last_match, bytes, seconds FROM activity ORDER BY rule`)
	if err != nil {
		return nil, err
	}
	at := make(map[string]int)
	for i, a := range all {
		at[a.Rule] = i
	}
	_, err = query(ctx, r.db, "silences", func(rows *sql.Rows) (none struct{}, err error) {
		var rule, day string
		var longest meter.LongestOver
		var silent int64
		if err := rows.Scan(&rule, &day, &longest.Bytes, &silent); err != nil {
			return none, err
		}
		longest.Time = time.Duration(silent) * time.Second
		if longest.Day, err = time.Parse(dayLayout, day); err != nil {
			return none, err
		}
		if i, known := at[rule]; known {
			all[i].Longest = append(all[i].Longest, longest)
		}
		return none, nil
	}, `SELECT rule, day, bytes, seconds FROM silences ORDER BY rule, day`)
	return all, err
}
