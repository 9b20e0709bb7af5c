package rules

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/meterlog/meterlog/internal/fields"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/program"
)

// Table chooses the SKU that a line is billed under by a value that the line
// has. It is immutable once its rule is in use.
type Table struct {
	By     *Expression
	ByText string // as written

	listed map[string]*meter.Rule // by value
	others *meter.Rule            // for values that are not listed; nil: such a line is an error
	bills  []*meter.Rule          // each SKU once, in the order of the configuration
	values map[string][]string    // by SKU: the values that choose it
}

// Entry is a row of a table.
type Entry struct{ Value, SKU string }

// OtherValues is remembered in place of the values that a table does not list.
// Listed values are remembered with listedMark before them.
const (
	OtherValues = "else"
	listedMark  = "="
)

// SetTable makes the rule choose its SKU by a table. others is the SKU of values that
// the table does not list, or "". The rest of the rule must be complete.
func (r *Rule) SetTable(by *Expression, text string, entries []Entry, others string) {
	t := &Table{By: by, ByText: text, listed: make(map[string]*meter.Rule, len(entries)), values: make(map[string][]string)}
	known := make(map[string]*meter.Rule)
	bill := func(sku, value string) *meter.Rule {
		if known[sku] == nil {
			one := r.Rule
			one.SKU = sku
			known[sku] = &one
			t.bills = append(t.bills, &one)
		}
		t.values[sku] = append(t.values[sku], value)
		return known[sku]
	}
	for _, e := range entries {
		t.listed[e.Value] = bill(e.SKU, listedMark+e.Value)
	}
	if others != "" {
		t.others = bill(others, OtherValues)
	}
	for _, one := range t.bills {
		one.Values = t.values[one.SKU]
	}
	r.Table = t
}

// Size returns the number of values that the table lists.
func (t *Table) Size() int { return len(t.listed) }

// SKUOf returns the SKU that the table has for a remembered value, "" for none.
func (t *Table) SKUOf(value string) string {
	rule := t.others
	if value != OtherValues && t.listed[value[len(listedMark):]] != nil {
		rule = t.listed[value[len(listedMark):]]
	}
	if rule == nil {
		return ""
	}
	return rule.SKU
}

// bill returns what the rule bills for the current line.
func (m *Matcher) bill(r *Rule) (*meter.Rule, error) {
	t := r.Table
	if t == nil {
		return &r.Rule, nil
	}
	if m.plain == nil {
		if v := t.By.value.Read(&m.line.Line); v.IsText() {
			if listed := t.listed[string(v.Text())]; listed != nil {
				return listed, nil
			}
		}
	}
	v, err := m.run(t.By)
	if err != nil {
		return nil, fmt.Errorf("sku_id: %w", err)
	}
	value, err := tableValue(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("sku_id: %w", err)
	case v != nil && t.listed[value] != nil:
		return t.listed[value], nil
	case t.others != nil:
		return t.others, nil
	case v == nil && len(t.By.Slots) == 1:
		return nil, fmt.Errorf("sku_id: %s is missing, and the table has no else", fields.PathText(m.set.slots.Paths[t.By.Slots[0]]))
	case v == nil:
		return nil, errors.New("sku_id: the value is nil, and the table has no else")
	}
	return nil, fmt.Errorf("sku_id: the table has no SKU for %q", meter.Clip(value, 40))
}

// tableValue returns a value as a table lists it: text as it is, numbers in their
// shortest form, true and false. It returns "" for nil.
func tableValue(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", fmt.Errorf("the value is %v", v)
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	if text, ok := scalarText(v); ok {
		return text, nil
	}
	return "", fmt.Errorf("the value is %s, and not a text, number or boolean", program.KindOf(v))
}
