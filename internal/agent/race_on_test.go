//go:build race

package agent

const raceEnabled = true

const histories = 25 // the race detector makes SQLite slow
