package monitor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/ledger"
)

// A look at very many files costs seconds. The agent's status keeps such a look for
// keptFor times what it cost, at most mostKept, so that scrapes leave time for the
// logs. If a look is cheap, each status makes its own.
const (
	dear     = 100 * time.Millisecond
	keptFor  = 10
	mostKept = time.Minute
)

// survey is the last look at the files.
type survey struct {
	making sync.Mutex // held while a look is made

	mu       sync.Mutex
	of       *config.Config
	sources  []SourceStatus
	problems []ProblemStatus
	until    time.Time
}

// kept adds the last look to a status. It reports whether the look is fresh enough,
// or the next one is being made.
func (s *survey) kept(st *Status, of *config.Config, making bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != of || s.until.IsZero() || !making && !time.Now().Before(s.until) {
		return false
	}
	st.Sources = append(st.Sources, slices.Clone(s.sources)...)
	st.Problems = append(st.Problems, s.problems...)
	return true
}

// keep keeps a look for a while, if it was dear.
func (s *survey) keep(st *Status, of *config.Config, cost time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of, s.sources, s.problems, s.until = of, slices.Clone(st.Sources), slices.Clone(st.Problems), time.Time{}
	if cost >= dear {
		s.until = time.Now().Add(min(mostKept, keptFor*cost))
	}
}

// followed looks at the files as the agent would.
func (s Subject) followed(ctx context.Context, st *Status, r *ledger.Reader) error {
	if s.withoutFiles {
		_, err := r.Globs(ctx)
		return err
	}
	if s.Health == nil {
		return s.survey(ctx, st, r)
	}
	last := &s.Health.survey
	if !last.making.TryLock() {
		if last.kept(st, s.Config, true) {
			return nil
		}
		last.making.Lock()
	}
	defer last.making.Unlock()
	if last.kept(st, s.Config, false) {
		return nil
	}
	began := time.Now()
	fresh := Status{At: st.At}
	if err := s.survey(ctx, &fresh, r); err != nil {
		return err
	}
	last.keep(&fresh, s.Config, time.Since(began))
	st.Sources = append(st.Sources, fresh.Sources...)
	for _, p := range fresh.Problems {
		st.add(p)
	}
	return nil
}

func (s Subject) survey(ctx context.Context, st *Status, r *ledger.Reader) error {
	known, err := r.Generations(ctx)
	if err != nil {
		return err
	}
	globs, err := r.Globs(ctx)
	if err != nil {
		return err
	}
	s.files(st, known, globs, st.At)
	return nil
}
