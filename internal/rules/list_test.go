package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/rules"
)

// A function that goes through a list fails on a text. It must not count the
// characters.
func TestTextIsNoList(t *testing.T) {
	const text, list = `{"to":"anna@example.org"}`, `{"to":["anna@example.org","boris@example.org"]}`
	for _, test := range []struct {
		rule string
		want int64 // of the list
	}{
		{"when: fields.to != nil, quantity: 'count(fields.to ?? [], true)'", 2},
		{`when: fields.to != nil, quantity: 'count(fields.to, # contains "anna")'`, 1},
		{"when: fields.to != nil, quantity: 'len(filter(fields.to, true))'", 2},
		{"when: fields.to != nil, quantity: 'len(map(fields.to, 1))'", 2},
		{"when: fields.to != nil, quantity: 'sum(fields.to, 1)'", 2},
		{"when: fields.to != nil, quantity: 'reduce(fields.to, #acc + 1, 0)'", 2},
		{`when: 'any(fields.to, # != "")'`, 1},
		{`when: 'all(fields.to, # != "")'`, 1},
		{`when: 'none(fields.to, # == "")'`, 1},
		{`when: 'find(fields.to, # != "") != nil'`, 1},
	} {
		c := parse(t, "product_id: p\nsources: [{name: app, path: /a.log, format: json}]\nrules: [{name: r, sku_id: s, "+test.rule+"}]\n")
		var tally meter.Tally
		block := meter.Block{Path: "/a.log", Sources: []string{"app"}, Data: fmt.Appendf(nil, "%s\n%s\n", list, text), ReadAt: readAt}
		rules.NewMatcher(&c.Set).Match(block, &tally)
		var got int64
		for _, n := range tally.Counts {
			got += n.Amount
		}
		failed := tally.Anomalies[meter.AnomalyKey{Kind: meter.RuleError, Subject: "r"}]
		if got != test.want || failed == nil || failed.Count != 1 || !strings.Contains(failed.Example, "goes through a list, and this is a text") {
			t.Errorf("%s: %d units, want %d; %+v", test.rule, got, test.want, failed)
		}
	}
}
