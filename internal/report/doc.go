// Package report shows what the ledger and the agent know: records, their sums, what
// a record was counted from, and the status. Each is a text for people, and JSON or
// CSV for programs. The names in these are a contract.
package report
