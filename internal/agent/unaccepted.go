package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// tellEvery is how often at most the log says again that usage was not accepted
// for one reason.
const tellEvery = time.Minute

const (
	mostFates = 100 // sums; the API's words may be other ones in each answer
	mostSKUs  = 100 // SKUs that a sum knows
	shownSKUs = 3
)

// otherReasons stands for the reasons that have no sum of their own.
const otherReasons = "other reasons, which `meterlog records` lists"

// unaccepted sums what the API did not accept, for the log: an old backlog may
// expire at hundreds of records a second.
type unaccepted struct {
	log  *slog.Logger
	sums map[fate]*unacceptedSum
}

type fate struct {
	state  meter.State
	reason string
}

type unacceptedSum struct {
	records  int
	units    int64
	skus     map[string]bool // at most mostSKUs of them
	from, to time.Time       // of the records' timestamps
	uuid     string          // of one of them
	told     time.Time
}

func (u *unaccepted) add(r meter.Record, result meter.Result) {
	key := fate{result.State, result.Reason}
	sum := u.sums[key]
	if sum == nil {
		if u.sums == nil {
			u.sums = make(map[fate]*unacceptedSum)
		}
		if len(u.sums) >= mostFates {
			key.reason = otherReasons
		}
		if sum = u.sums[key]; sum == nil {
			sum = &unacceptedSum{skus: make(map[string]bool)}
			u.sums[key] = sum
		}
	}
	if sum.records == 0 {
		sum.uuid, sum.from, sum.to = r.UUID, r.Timestamp, r.Timestamp
	}
	sum.records++
	sum.units = addUnits(sum.units, r.Quantity)
	if len(sum.skus) < mostSKUs {
		sum.skus[r.SKU] = true
	}
	if r.Timestamp.Before(sum.from) {
		sum.from = r.Timestamp
	}
	if r.Timestamp.After(sum.to) {
		sum.to = r.Timestamp
	}
}

// tell logs each sum that is new, or was not logged for a while.
func (u *unaccepted) tell(now time.Time) {
	for key, sum := range u.sums {
		if sum.records > 0 && now.Sub(sum.told) >= tellEvery {
			args := []any{"state", key.state, "reason", key.reason, "records", sum.records, "units", sum.units,
				"sku_ids", slices.Sorted(maps.Keys(sum.skus))[:min(shownSKUs, len(sum.skus))]}
			if more := len(sum.skus) - shownSKUs; more > 0 {
				args = append(args, "more_sku_ids", moreText(more, len(sum.skus) == mostSKUs))
			}
			u.log.Error("usage was not accepted", append(args, "from", sum.from, "to", sum.to, "uuid", sum.uuid)...)
			*sum = unacceptedSum{skus: make(map[string]bool), told: now}
		} else if sum.records == 0 && now.Sub(sum.told) > time.Hour {
			delete(u.sums, key)
		}
	}
}

// moreText returns a number of things that are left out. If it was not counted to the
// end, it is the least that there are.
func moreText(n int, orMore bool) string {
	if orMore {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

// flush logs all that was not logged yet.
func (u *unaccepted) flush() { u.tell(time.Now().Add(tellEvery)) }

// addUnits adds two sums ≥ 0, and stops at the largest number.
func addUnits(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
