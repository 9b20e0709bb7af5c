package agent

import (
	"strings"

	"github.com/meterlog/meterlog/internal/meter"
)

const (
	monthlySKU = "dn2mmmmmmmmmmmmmmmmm"
	hourlySKU  = "dn2hhhhhhhhhhhhhhhhh"
)

// onceRules count each size of a month once, and each last digit of a line's number
// once in its hour. A history is shorter than a month, and begins in the middle of one.
const onceRules = `  - name: sizes
    when: line contains "sent" and not (line contains "size=0 ")
    sku_id: ` + monthlySKU + `
    once: {key: 'extract(line, "size=([0-9]+)")', each: month}
  - name: digits
    when: line contains "sent" and not (line contains "size=0 ")
    sku_id: ` + hourlySKU + `
    once: {key: 'extract(line, "^\\S+ [0-9]*([0-9]) ")', each: hour}
`

// verifyOnce checks that each key counted once, as somebody who remembers every line
// would count it. The hours are known only if lines tell them, no clock was set, and no
// line came after its hour was forgotten.
func (s *simulation) verifyOnce() {
	s.t.Helper()
	sizes, digits := make(map[int64]bool), make(map[gaugeSample]bool)
	for _, line := range s.gauge.samples {
		sizes[line.size] = true
		digits[gaugeSample{hour: line.hour, key: line.key}] = true
	}
	if got := s.billed(monthlySKU) + s.lost()[monthlySKU]; got != int64(len(sizes)) {
		s.fail("%d sizes were written, and %d counted", len(sizes), got)
	}
	if !s.gauge.timed || s.set || s.reported(meter.LateKey) {
		return
	}
	if got := s.billed(hourlySKU) + s.lost()[hourlySKU]; got != int64(len(digits)) {
		s.fail("%d digits were written in their hours, and %d counted", len(digits), got)
	}
}

// reported reports whether the ledger has an anomaly of the kind.
func (s *simulation) reported(kind meter.AnomalyKind) bool {
	for _, text := range s.anomalies() {
		if strings.HasPrefix(text, string(kind)) {
			return true
		}
	}
	return false
}
