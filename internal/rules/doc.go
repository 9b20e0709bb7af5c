// Package rules turns log lines into quantities. [Load] reads the
// configuration, one YAML file, into a [Config] whose expressions, patterns
// and layouts are compiled: a Config that exists is valid. A [Matcher] applies
// its rules to the lines of a [meter.Block] and adds what they come to to a
// [meter.Tally].
//
// It promises that a line comes to the same result whenever and wherever it is
// read again: nothing that an expression can see depends on the wall clock, on
// the machine's time zone or on chance. What an expression cannot answer with
// a whole number ≥ 0 is counted as an anomaly with the rule's name, never
// guessed at.
//
// A Config is immutable and may be shared. A Matcher belongs to one goroutine.
package rules
