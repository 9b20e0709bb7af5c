// Package rules turns log lines into quantities. A [Set] holds the sources and
// rules of a configuration, with their expressions compiled. A [Matcher]
// applies the rules to the lines of a [meter.Block] and adds the result to a
// [meter.Tally].
//
// A line always gives the same result, whenever and wherever it is read again.
// Nothing that an expression can see depends on the wall clock, on the
// machine's time zone or on chance. If an expression does not come to a whole
// number ≥ 0, the line is counted as an anomaly with the rule's name, and
// nothing is guessed.
//
// A Set is immutable once it is built, and may be shared. A Matcher belongs to
// one goroutine.
//
// From an expression to the tally:
//
//   - expression.go compiles with expr-lang/expr. Before that, patch.go
//     rewrites the tree so that missing fields are nil and numbers are exact.
//     functions.go replaces some of expr's own functions, and budget.go puts a
//     price on what could cost without bound.
//   - literals.go derives from a condition what a line must contain for it to
//     be true or to fail; package search finds the lines of a block that do.
//   - matcher.go evaluates only those lines: by native.go if the condition is
//     simple, otherwise by expr's virtual machine, with the fields that package
//     fields finds. plain_test.go compares this with the plain way: every line,
//     every rule, all fields, the virtual machine.
//   - marks.go and effort.go are for people who write rules: which part of a
//     line matched, and what each rule costs.
//
// docs/rules.md describes the language.
package rules
