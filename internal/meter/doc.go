// Package meter holds the nouns that the other packages share: a [Block] of
// lines read from a [Generation] of a log file, the [Tally] that rules make of
// it, and the usage [Record] that is delivered with its [Result].
//
// It promises to depend on the standard library only and to hold no state.
// The flow that ties the nouns together:
//
//	file → Block → Tally → ledger.Commit → Record → sender.Send → Result → ledger.Settle
//
// A position in a file (in Generation) and what was counted up to it (in
// Tally) always travel together and are committed in one transaction.
package meter
