package recount

import (
	"context"

	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// Repeat is a line that counted nothing, because an earlier line of its key did.
type Repeat struct {
	Offset     int64
	Generation int64  // of the line that counted
	At         int64  // the offset of that line
	UUID       string // its record; "" if no record has it, or not any more
	Text       string
}

// Remember has the recounter ask a ledger which lines were the first of their keys.
// Without it nobody can tell for rules with once.
func (r *Recounter) Remember(ctx context.Context, ledger *ledger.Reader) error {
	r.keys = ledger
	secret, err := ledger.KeySecret(ctx)
	if err != nil || secret == nil { // no rule has remembered a key yet
		return err
	}
	r.matcher.SetSecret(secret)
	return nil
}

// askLedger has the pass ask the ledger about keys.
func (p *pass) askLedger(ctx context.Context) {
	p.place = func(ref meter.KeyRef, offset int64) (ledger.KeyPlace, error) {
		return p.keys.KeyPlace(ctx, ref, p.Generation.ID, offset)
	}
	p.top = func(ref meter.PeakRef) (ledger.PeakPlace, error) { return p.keys.PeakPlace(ctx, ref) }
}

// first reports whether a line is the first of its key. It notes repeats, and lines
// that nobody can tell anything of. refs are the line's key for two times of its
// reading: without a time of the line the ledger may have the key under either.
func (p *pass) first(h rules.Hit, refs ...meter.KeyRef) bool {
	var place ledger.KeyPlace
	for _, ref := range refs {
		if p.keys == nil || p.keyErr != nil || place.Own {
			break
		}
		found, err := p.place(ref, h.Start)
		if p.keyErr = err; found.Known && (found.Own || !place.Known) {
			place = found
		}
	}
	switch {
	case place.Own:
		return true
	case !place.Known:
		p.untold++
	default:
		p.repeated++
		if len(p.repeats) < p.show {
			p.repeats = append(p.repeats, Repeat{h.Start, place.Generation, place.Offset, place.UUID, string(h.Line)})
		}
	}
	return false
}
