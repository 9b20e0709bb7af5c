//go:build !race

package agent

const raceEnabled = false

const histories = 150
