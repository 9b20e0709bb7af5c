package trial

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/rules"
)

const (
	nearBudget   = 1 << 30 // bytes to search for near misses, times the texts that are searched for
	maxNear      = 4       // texts of one rule in one source that are searched for, and names of fields
	maxSpellings = 16      // of one text that are kept apart
)

// nearMisses looks for what rules that have matched nothing ask for, in any
// mixture of small and capital letters. It stops looking when that has cost
// enough. A nil one looks for nothing.
type nearMisses struct {
	tally  *trialTally
	rules  []*nearRule
	budget int
	folded []byte
}

// nearRule is a rule with its texts: each of its lines must hold one of them.
type nearRule struct {
	*rules.Rule
	never  []string // sources on whose lines it cannot be true
	texts  []*nearText
	looked bool // lines of one of its sources were read
	whole  bool // all of them were searched
}

type nearText struct {
	text      string
	isName    bool // of a field
	anyCase   bool // so the rule would take it in any spelling
	folded    []byte
	spellings map[string]int64 // as they occur
}

func newNearMisses(config *config.Config, tally *trialTally) *nearMisses {
	m := &nearMisses{tally: tally, budget: nearBudget}
	for _, r := range config.Rules {
		n := &nearRule{Rule: r, whole: true}
		for _, name := range r.Sources {
			literals, why := config.Prefilter(r, config.Source(name))
			if why == "" && len(literals) == 0 {
				n.never = append(n.never, name)
			}
			for _, l := range literals[:min(len(literals), maxNear)] {
				n.want(&nearText{text: l.Text, anyCase: l.AnyCase})
			}
			names := config.FieldNames(r, config.Source(name))
			for _, field := range names[:min(len(names), maxNear)] {
				n.want(&nearText{text: field, isName: true})
			}
		}
		m.rules = append(m.rules, n)
	}
	return m
}

// want adds a text to what is searched for.
func (r *nearRule) want(t *nearText) {
	if !slices.ContainsFunc(r.texts, func(known *nearText) bool { return known.text == t.text }) {
		t.folded, t.spellings = fold(nil, []byte(t.text)), map[string]int64{}
		r.texts = append(r.texts, t)
	}
}

// look searches lines of these sources for texts of the rules without a match.
func (m *nearMisses) look(sources []string, data []byte) {
	if m == nil {
		return
	}
	isFolded := false
	for _, r := range m.rules {
		if count := m.tally.rules[r.Rule]; count.lines > 0 || count.errors.count > 0 || !overlap(r.Sources, sources) {
			continue
		}
		r.looked = true
		if m.budget -= len(r.texts) * len(data); m.budget < 0 {
			r.whole = false
			continue
		}
		if !isFolded && len(r.texts) > 0 {
			m.folded, isFolded = fold(m.folded[:0], data), true
		}
		for _, t := range r.texts {
			t.count(data, m.folded)
		}
	}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func (t *nearText) count(data, folded []byte) {
	for at := 0; ; at += len(t.folded) {
		i := bytes.Index(folded[at:], t.folded)
		if i < 0 {
			return
		}
		at += i
		spelling := data[at : at+len(t.folded)]
		if t.anyCase {
			spelling = t.folded
		}
		if _, known := t.spellings[string(spelling)]; known || len(t.spellings) < maxSpellings {
			t.spellings[string(spelling)]++
		}
	}
}

// fold appends text with the letters A to Z made small, which leaves every
// byte at its place.
func fold(to, text []byte) []byte {
	to = append(to, text...)
	for i := len(to) - len(text); i < len(to); i++ {
		if c := to[i]; c-'A' < 26 {
			to[i] = c + 'a' - 'A'
		}
	}
	return to
}

// hint returns what the log has in place of the rule's text, or "".
func (m *nearMisses) hint(rule *rules.Rule) string {
	i := slices.IndexFunc(m.rules, func(r *nearRule) bool { return r.Rule == rule })
	r := m.rules[i]
	if len(r.never) == len(r.Sources) {
		return "its condition can never be true"
	}
	if !r.looked {
		return "no line of " + strings.Join(r.Sources, " or ") + " was read"
	}
	var hints []string
	for _, t := range r.texts {
		if t.isName && t.spellings[t.text] > 0 {
			continue // as it should be
		}
		hints = append(hints, t.hint(r.whole))
	}
	return strings.Join(hints, "; ")
}

func (t *nearText) hint(whole bool) string {
	times, where := "occurs", ""
	if !whole {
		where = " in the part that was searched"
	}
	if n := t.spellings[t.text]; n > 0 {
		return fmt.Sprintf("`%s` %s%s, but the whole condition is never true", t.text, frequency(times, n), where)
	}
	if len(t.spellings) == 0 {
		return fmt.Sprintf("`%s` never occurs%s", t.text, where)
	}
	best := slices.MaxFunc(slices.Sorted(maps.Keys(t.spellings)), func(a, b string) int {
		return cmp.Compare(t.spellings[a], t.spellings[b])
	})
	return fmt.Sprintf("`%s` never occurs%s; `%s` %s", t.text, where, best, frequency(times, t.spellings[best]))
}

func frequency(verb string, n int64) string {
	if n == 1 {
		return verb + " once"
	}
	return fmt.Sprintf("%s %d times", verb, n)
}
