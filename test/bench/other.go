package main

import (
	"bytes"
	"fmt"
)

// otherRules measures rules with a table, with decimals, with within and with a peak
// over the lines of the keyed logs.
func otherRules(r *report) error {
	const sum = int64(million) * (million - 1) / 2
	totals := func(want map[string]int64) func([]byte) error {
		var rules []rule
		for sku := range want {
			rules = append(rules, rule{sku: sku})
		}
		return expectTotals(want, rules)
	}
	open := func(peaks string) func([]byte) error {
		return func(output []byte) error {
			if !bytes.Contains(output, []byte(peaks)) {
				return fmt.Errorf("no %q in %s", peaks, output)
			}
			return nil
		}
	}
	fmt.Fprintf(r, "Other rules over the same %d lines of JSON:\n\n| rule | CPU s | peak RSS MiB | ledger MB |\n|---|---|---|---|\n", million)
	for _, c := range []struct {
		name, rule string
		keys       int
		check      func([]byte) error
	}{
		{"a sum", `{name: b, when: fields.bytes != nil, quantity: fields.bytes, sku_id: s}`, 1, totals(map[string]int64{"s": sum})},
		{"a table", `{name: b, when: fields.bytes != nil, quantity: fields.bytes, sku_id: {by: fields.event, map: {request: s, reply: t}}}`, 1, totals(map[string]int64{"s": sum})},
		{"decimals", `{name: b, when: fields.bytes != nil, quantity: fields.bytes, decimals: 3, per: 7, sku_id: s}`, 1, totals(map[string]int64{"s": sum / 7})},
		{"a peak", `{name: b, when: fields.bytes != nil, quantity: fields.bytes, sku_id: s, peak: {each: day}}`, 1, open("1 peak of b: 999999 of s")},
		{"`once` with within", `{name: b, when: fields.bytes != nil, sku_id: s, once: {key: fields.user.id, within: 24h}}`, million, totals(map[string]int64{"s": million})},
		{"peaks of 100,000 keys", `{name: b, when: fields.bytes != nil, quantity: fields.bytes, sku_id: s, peak: {each: day, key: fields.user.id}}`, 100_000, open("100000 peaks of b: 94999950000 of s")},
	} {
		m, size, err := catchUpRule(r.binary, c.keys, c.rule, c.check)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(r, "| %s | %.2f | %.0f | %.1f |\n", c.name, m.cpu.Seconds(), float64(m.rss)/1024, float64(size)/1e6)
	}
	fmt.Fprintln(r)
	return nil
}
