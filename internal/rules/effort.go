package rules

import "time"

// Effort is what the evaluation of a rule has cost. It does not include the search for
// lines, which serves all rules at once.
type Effort struct {
	Lines int64 // that the rule was evaluated on
	Time  time.Duration
}

// Measure makes the matcher measure the effort of each rule from now on, which
// itself takes some.
func (m *Matcher) Measure() { m.efforts = make([]Effort, len(m.set.Rules)) }

// Effort is what a rule has cost since [Matcher.Measure].
func (m *Matcher) Effort(r *Rule) Effort {
	if m.efforts == nil {
		return Effort{}
	}
	return m.efforts[r.index]
}

// measured is evaluate, by the clock.
func (m *Matcher) measured(r *Rule) (int64, error) {
	began := time.Now()
	quantity, err := m.evaluate(r)
	e := &m.efforts[r.index]
	e.Lines++
	e.Time += time.Since(began)
	return quantity, err
}
