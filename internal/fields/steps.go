package fields

import (
	"bytes"
	"regexp/syntax"
	"slices"
	"unicode/utf8"

	"github.com/meterlog/meterlog/internal/search"
)

// steps is a pattern of literals, runs of classes and choices, as a list that walks
// along a text. It finds what package regexp finds: the earliest match, and among
// several the first that a backtracking search would find.
type steps struct {
	list     []step
	anchored bool           // it can only begin with the text
	prefix   search.Literal // each match begins with it
	behind   int            // the step behind the prefix; 0 if there is none
	first    *[256]bool     // or else with one of these bytes; nil if it may match an empty text
}

// step is one part of a pattern.
type step struct {
	kind     stepKind
	literal  []byte
	class    *class
	min, max int  // of a run, in characters; max is -1 for no limit
	final    bool // no shorter run can be right
	lazy     bool
	then     []byte // the literal that follows a run, if the next step is one
	at       int    // stepPlace: the index of the place. stepChoice: the step of the second way. stepJump: the next step
	end      int    // of a choice: the step behind all of its ways
}

type stepKind byte

const (
	stepLiteral stepKind = iota
	stepRun              // of characters of a class
	stepPlace            // a group begins or ends
	stepChoice           // go on with the next step, or else with another
	stepJump             // go on with another step
	stepBegin            // of the text
	stepEnd              // of the text
)

// class is a set of characters: some of ASCII, and either all others or none.
type class struct {
	has  [256]bool
	wide bool // it has all characters beyond ASCII, and bytes that are not UTF-8
	but  int  // the only byte that it lacks, or -1
}

// unfit is why a pattern cannot be walked.
type unfit string

// newSteps returns the steps of a pattern, or why it has to do without them.
func newSteps(text string) (s *steps, why string) {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err.Error()
	}
	defer func() {
		if reason, ok := recover().(unfit); ok {
			s, why = nil, string(reason)
		}
	}()
	s = &steps{}
	s.add(re)
	s.finish()
	return s, ""
}

func (s *steps) push(next step) { s.list = append(s.list, next) }

// add appends the steps of a part. It panics with an unfit one.
func (s *steps) add(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpEmptyMatch:
	case syntax.OpBeginText:
		for _, before := range s.list {
			if before.kind != stepPlace {
				panic(unfit("the beginning of the text is not at its beginning"))
			}
		}
		s.push(step{kind: stepBegin})
	case syntax.OpEndText:
		s.push(step{kind: stepEnd})
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			panic(unfit("it ignores case"))
		}
		for _, r := range re.Rune {
			if r == utf8.RuneError {
				panic(unfit("it has the character U+FFFD, which also stands for broken text"))
			}
		}
		s.push(step{kind: stepLiteral, literal: []byte(string(re.Rune))})
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			s.add(sub)
		}
	case syntax.OpCapture:
		s.push(step{kind: stepPlace, at: 2 * re.Cap})
		s.add(re.Sub[0])
		s.push(step{kind: stepPlace, at: 2*re.Cap + 1})
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.run(re, re, 1, 1)
	case syntax.OpStar:
		s.run(re, re.Sub[0], 0, -1)
	case syntax.OpPlus:
		s.run(re, re.Sub[0], 1, -1)
	case syntax.OpRepeat:
		s.run(re, re.Sub[0], re.Min, re.Max)
	case syntax.OpQuest:
		s.option(re)
	case syntax.OpAlternate:
		s.choice(re.Sub)
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		panic(unfit("it looks for the boundary of a word"))
	default:
		panic(unfit("it looks for the beginning or end of a line"))
	}
}

// run appends a repetition of one character.
func (s *steps) run(re, of *syntax.Regexp, least, most int) {
	c := &class{}
	switch {
	case of.Op == syntax.OpAnyChar:
		c.add(0, utf8.MaxRune)
	case of.Op == syntax.OpAnyCharNotNL:
		c.add(0, '\n'-1)
		c.add('\n'+1, utf8.MaxRune)
	case of.Op == syntax.OpCharClass:
		for i := 0; i < len(of.Rune); i += 2 {
			c.add(of.Rune[i], of.Rune[i+1])
		}
	case of.Op == syntax.OpLiteral && len(of.Rune) == 1 && of.Rune[0] < utf8.RuneSelf && of.Flags&syntax.FoldCase == 0:
		c.add(of.Rune[0], of.Rune[0])
	default:
		panic(unfit("it repeats more than one character of ASCII"))
	}
	c.but = c.lacking()
	s.push(step{kind: stepRun, class: c, min: least, max: most, lazy: re.Op != of.Op && re.Flags&syntax.NonGreedy != 0})
}

func (s *steps) option(re *syntax.Regexp) {
	switch re.Sub[0].Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.run(re, re.Sub[0], 0, 1)
		return
	}
	i := len(s.list)
	choice := i
	s.push(step{kind: stepChoice})
	if re.Flags&syntax.NonGreedy != 0 {
		s.push(step{kind: stepJump})
		s.list[i].at = len(s.list)
		i++
	}
	s.add(re.Sub[0])
	s.list[i].at = len(s.list)
	s.list[choice].end = len(s.list)
}

// choice appends ways to go on, the first ones preferred.
func (s *steps) choice(ways []*syntax.Regexp) {
	if len(ways) == 1 {
		s.add(ways[0])
		return
	}
	i := len(s.list)
	s.push(step{kind: stepChoice})
	s.add(ways[0])
	jump := len(s.list)
	s.push(step{kind: stepJump})
	s.list[i].at = len(s.list)
	s.choice(ways[1:])
	s.list[jump].at, s.list[i].end = len(s.list), len(s.list)
}

// add puts a range of characters into the class.
func (c *class) add(low, high rune) {
	for r := low; r <= min(high, utf8.RuneSelf-1); r++ {
		c.has[r] = true
	}
	if high < utf8.RuneSelf {
		return
	}
	if low > utf8.RuneSelf || high < utf8.MaxRune {
		panic(unfit("it tells characters beyond ASCII apart"))
	}
	c.wide = true
	for i := utf8.RuneSelf; i < len(c.has); i++ {
		c.has[i] = true
	}
}

// lacking returns the only byte that the class lacks, or -1.
func (c *class) lacking() int {
	but, n := -1, 0
	for i, has := range c.has {
		if !has {
			but = i
			n++
		}
	}
	if n != 1 {
		return -1
	}
	return but
}

// finish finds out which runs are final, and how matches begin.
func (s *steps) finish() {
	// Bytes that a match may go on with from each step; whether it may end there,
	// or only there at the end of the text.
	type ahead struct {
		next        [256]bool
		end, atText bool
	}
	from := make([]ahead, len(s.list)+1)
	from[len(s.list)].end = true
	for i := len(s.list) - 1; i >= 0; i-- {
		t, a := &s.list[i], from[i+1]
		switch t.kind {
		case stepLiteral:
			a = ahead{}
			a.next[t.literal[0]] = true
		case stepEnd:
			a = ahead{atText: a.end || a.atText}
		case stepJump:
			a = from[t.at]
		case stepChoice:
			other := from[t.at]
			a = ahead{union(a.next, other.next), a.end || other.end, a.atText || other.atText}
		case stepRun:
			t.final = !overlap(t.class.has, a.next) && !(t.lazy && a.end)
			if t.min > 0 {
				a = ahead{}
			}
			a.next = union(a.next, t.class.has)
		}
		from[i] = a
	}
	if first := from[0]; !first.end && !first.atText {
		s.first = &first.next
	}
	var then []byte
	for i := len(s.list) - 1; i >= 0; i-- {
		switch t := &s.list[i]; t.kind {
		case stepPlace:
		case stepLiteral:
			then = t.literal
		default:
			t.then, then = then, nil
		}
	}
	i := slices.IndexFunc(s.list, func(t step) bool { return t.kind != stepPlace })
	s.anchored = i >= 0 && s.list[i].kind == stepBegin
	if then != nil {
		s.prefix, s.behind = search.NewLiteral(string(then)), i+1
	}
}

func union(a, b [256]bool) [256]bool {
	for i, has := range b {
		a[i] = a[i] || has
	}
	return a
}

func overlap(a, b [256]bool) bool {
	for i, has := range b {
		if has && a[i] {
			return true
		}
	}
	return false
}

// walk is one search in a text.
type walk struct {
	list   []step
	text   []byte
	places []int // of the groups
	work   int   // what it may still cost, so that no text makes it slow
}

// find notes in places, which are all -1, where the first match and its groups
// are. If known is false the search was given up.
func (s *steps) find(text []byte, places []int) (found, known bool) {
	w := walk{s.list, text, places, 16*len(text) + 256}
	for start := 0; start <= len(text); start++ {
		at := start // where the step behind the prefix begins
		switch {
		case s.anchored && start > 0:
			return false, true
		case s.behind > 0:
			i := s.prefix.Index(text[start:])
			if i < 0 {
				return false, true
			}
			start += i
			at = start + s.prefix.Len()
			for i := range s.behind - 1 { // where groups begin
				places[s.list[i].at] = start
			}
		case s.first != nil && (start == len(text) || !s.first[text[start]]):
			w.work--
			if start < len(text) && text[start] >= utf8.RuneSelf {
				_, size := utf8.DecodeRune(text[start:])
				start += size - 1
			}
			continue
		}
		if end := w.from(s.behind, at); end >= 0 {
			places[0], places[1] = start, end
			return true, true
		}
		if w.work < 0 {
			return false, false
		}
		if start < len(text) && text[start] >= utf8.RuneSelf {
			_, size := utf8.DecodeRune(text[start:])
			start += size - 1
		}
	}
	return false, true
}

// from walks the steps that begin with number i at an offset. It returns the end
// of the match, or -1.
func (w *walk) from(i, at int) int {
	text := w.text
	for ; i < len(w.list); i++ {
		w.work--
		switch t := &w.list[i]; t.kind {
		case stepLiteral:
			if at >= len(text) || text[at] != t.literal[0] {
				return -1
			}
			if len(t.literal) > 1 && !bytes.HasPrefix(text[at:], t.literal) {
				return -1
			}
			at += len(t.literal)
		case stepPlace:
			w.places[t.at] = at
		case stepRun:
			end, ok := t.run(text, at)
			if w.work -= end - at; !ok || w.work < 0 {
				return -1
			}
			if !t.final {
				return w.choose(i, at, end)
			}
			at = end
		case stepChoice:
			w.forget(i, t.end)
			if end := w.from(i+1, at); end >= 0 || w.work < 0 {
				return end
			}
			w.forget(i, t.end)
			i = t.at - 1
		case stepJump:
			i = t.at - 1
		case stepBegin:
			if at > 0 {
				return -1
			}
		case stepEnd:
			if at < len(text) {
				return -1
			}
		}
	}
	return at
}

// forget drops the places of the groups between two steps.
func (w *walk) forget(from, to int) {
	for i := from; i < to; i++ {
		if t := &w.list[i]; t.kind == stepPlace {
			w.places[t.at] = -1
		}
	}
}

// run returns where the longest run ends, and whether it is long enough.
func (t *step) run(text []byte, at int) (end int, ok bool) {
	c := t.class
	switch {
	case t.max < 0 && t.min <= 1:
		if c.but >= 0 {
			n := bytes.IndexByte(text[at:], byte(c.but))
			if n < 0 {
				n = len(text) - at
			}
			return at + n, n >= t.min
		}
		end = at
		for end < len(text) && c.has[text[end]] {
			end++
		}
		return end, end-at >= t.min
	case !c.wide:
		limit := len(text)
		if t.max >= 0 {
			limit = min(limit, at+t.max)
		}
		end = at
		for end < limit && c.has[text[end]] {
			end++
		}
		return end, end-at >= t.min
	}
	end = at
	n := 0
	for ; n != t.max && end < len(text) && c.has[text[end]]; n++ {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return end, n >= t.min
}

// choose tries the lengths that a run may have, up to the longest.
func (w *walk) choose(i, at, end int) int {
	t := &w.list[i]
	if t.then != nil && t.max < 0 && t.min <= 1 {
		return w.chooseBefore(i, at+t.min, end)
	}
	ends := make([]int, 0, 64) // of the runs that are long enough
	for n, to := 0, at; ; n++ {
		if n >= t.min {
			ends = append(ends, to)
		}
		if to == end {
			break
		}
		_, size := utf8.DecodeRune(w.text[to:])
		to += size
	}
	for n := range ends {
		to := ends[n]
		if !t.lazy {
			to = ends[len(ends)-1-n]
		}
		if found := w.from(i+1, to); found >= 0 || w.work < 0 {
			return found
		}
	}
	return -1
}

// chooseBefore is choose for a run without a limit that a literal follows. A
// character of a literal cannot begin within another character.
func (w *walk) chooseBefore(i, shortest, longest int) int {
	t := &w.list[i]
	to, step := longest, -1
	if t.lazy {
		to, step = shortest, 1
	}
	for ; shortest <= to && to <= longest; to += step {
		if w.work--; bytes.HasPrefix(w.text[to:], t.then) {
			if found := w.from(i+1, to); found >= 0 || w.work < 0 {
				return found
			}
		}
	}
	return -1
}
