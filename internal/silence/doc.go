// Package silence notices when a rule that used to match finds nothing any more.
//
// An application renames a field or changes a message, and its rule bills
// nothing from then on. Nothing fails. The only sign is a silence that is longer
// than usual. Nights, weekends and bursts must not look like that, so the
// measure is the rule's own past: [Problems] compares the present silence with
// the longest one of the last 14 days, in bytes of the rule's sources and in
// time. Only a silence that is three times as long in both is a problem. In a log of
// some kilobytes a day it is a note, since a break looks like a day without sales.
//
// A [Watch] is owned by the meter loop. It holds no state that a restart needs:
// the ledger keeps what [Watch.Activities] returns.
package silence
