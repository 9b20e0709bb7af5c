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
//   - Package program compiles with expr-lang/expr. Before that, its patcher
//     rewrites the tree so that missing fields are nil and numbers are exact. It
//     replaces some of expr's own functions, and puts a price on what could cost
//     without bound. Package remedy says what is wrong with an expression.
//   - Package condition turns the tree into conditions and values that are read
//     from a line directly.
//   - Package search finds the lines of a block that contain what the conditions
//     require. matcher.go evaluates only those lines, with the fields that
//     package fields finds. expr's virtual machine evaluates what a condition
//     cannot. plain_test.go compares this with the plain way: every line, every
//     rule, all fields, the virtual machine.
//   - prefilter.go, highlight.go and cost.go are for people who write rules:
//     what is searched for, which part of a line matched, what each rule costs.
//
// docs/rules.md describes the language.
package rules
