package rules

import "time"

// Cost says what the evaluation of a rule cost. It does not include the search for
// lines, which serves all rules at once.
type Cost struct {
	Lines int64 // that the rule was evaluated on
	Time  time.Duration
}

// Measure makes the matcher measure the cost of each rule from now on, which
// itself takes some.
func (m *Matcher) Measure() { m.costs = make([]Cost, len(m.set.Rules)) }

// Cost returns what a rule has cost since [Matcher.Measure].
func (m *Matcher) Cost(r *Rule) Cost {
	if m.costs == nil {
		return Cost{}
	}
	return m.costs[r.index]
}

// measured evaluates the rule and adds to its cost.
func (m *Matcher) measured(r *Rule) (int64, error) {
	began := time.Now()
	quantity, err := m.evaluate(r)
	c := &m.costs[r.index]
	c.Lines++
	c.Time += time.Since(began)
	return quantity, err
}
