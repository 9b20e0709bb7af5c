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
//
// How it is made, from the file to the tally:
//
//   - document.go, position.go and problem.go read YAML so that every mistake
//     has its place; load*.go make a Config of it.
//   - expression.go compiles with expr-lang/expr, after patch.go has rewritten
//     the tree so that missing fields are nil and numbers are exact, with the
//     functions of functions.go in the place of expr's own, and the price of
//     budget.go on what could cost without bound.
//   - literals.go derives from a condition what a line must contain for it to
//     be true or to fail; search.go finds the lines of a block that do.
//   - matcher.go evaluates those lines alone: by native.go where the condition
//     is simple, else by expr's virtual machine, with the fields that json.go
//     and fields.go find. plain_test.go holds this against the plain way:
//     every line, every rule, all fields, the virtual machine.
//   - marks.go and effort.go are for people who write rules: which part of a
//     line matched, and what each rule costs. schema.json is for their editors.
//
// docs/rules.md describes the language.
package rules
