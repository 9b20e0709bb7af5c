//go:build !race

package agent

const histories = 150
