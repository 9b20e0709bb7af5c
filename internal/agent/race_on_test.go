//go:build race

package agent

const histories = 25 // the race detector makes SQLite slow
