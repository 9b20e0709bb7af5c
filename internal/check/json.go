package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/screen"
	"github.com/meterlog/meterlog/internal/selftest"
	"github.com/meterlog/meterlog/internal/trial"
)

// The published form of a check. The names are a contract.
type (
	publishedCheck struct {
		Config   string             `json:"config"`
		OK       bool               `json:"ok"`
		Errors   []publishedMistake `json:"errors"`
		Warnings []publishedMistake `json:"warnings"`
		Sources  []publishedSource  `json:"sources"`
		Rules    []publishedRule    `json:"rules"`
		Tests    []publishedTest    `json:"tests"`
		Untested []string           `json:"untested"`
		Online   *publishedOnline   `json:"online"` // null where the API was not asked

		unread bool // a journal cannot be read
	}
	publishedMistake struct {
		File    string `json:"file"`
		Line    int    `json:"line"` // 0 for a mistake of the file as a whole
		Column  int    `json:"column"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	}
	publishedSource struct {
		Name       string   `json:"name"`
		Format     string   `json:"format"`
		Files      int      `json:"files"`
		Unreadable []string `json:"unreadable"`
	}
	publishedRule struct {
		Name    string   `json:"name"`
		SKU     string   `json:"sku_id"`
		Per     int64    `json:"per"`
		Sources []string `json:"sources"`

		ProductID string      `json:"product_id"`
		Decimals  int         `json:"decimals"`
		Max       json.Number `json:"max"` // 0: no limit
	}
	publishedTest struct {
		Name     string                 `json:"name"`
		Line     int                    `json:"line"`
		Column   int                    `json:"column"`
		OK       bool                   `json:"ok"`
		Failures []string               `json:"failures"`
		Counts   []publishedTestCount   `json:"counts"`
		Errors   []publishedTestTrouble `json:"errors"`
	}
	publishedTestCount struct {
		Rule    string      `json:"rule"`
		SKU     string      `json:"sku_id"`
		Units   int64       `json:"units"`
		Amount  json.Number `json:"amount"`
		Windows []string    `json:"windows"`
	}
	publishedTestTrouble struct {
		Kind    string `json:"kind"`
		Subject string `json:"subject"`
		Count   int64  `json:"count"`
		Example string `json:"example"`
	}
	publishedOnline struct {
		OK    bool     `json:"ok"`
		Lines []string `json:"lines"`
	}
)

// json prints the check of a configuration, or err, which kept it from being
// read. It ends as the check for people does.
func (o Options) json(ctx context.Context, conf *config.Config, err error) error {
	p := publishedCheck{Config: o.Path, Errors: mistakes(err), Warnings: []publishedMistake{}, Sources: []publishedSource{},
		Rules: []publishedRule{}, Tests: []publishedTest{}, Untested: []string{}}
	end := ErrFailed
	if err != nil {
		end = silent{err}
	} else {
		p.describe(ctx, conf, o.Tokens)
		p.runTests(conf)
		p.OK = p.OK && !p.unread
		if o.Online {
			var text bytes.Buffer
			ok, err := o.checkOnline(ctx, &text, conf)
			if err != nil {
				return err
			}
			p.Online = &publishedOnline{ok, strings.Split(strings.TrimSpace(text.String()), "\n")}
			p.OK = p.OK && ok
		}
		if p.OK {
			end = nil
		}
	}
	encoder := json.NewEncoder(o.Stdout)
	encoder.SetEscapeHTML(false)
	return errors.Join(encoder.Encode(p), end)
}

// silent ends a command with the exit code of an error that was shown already.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (e silent) Unwrap() error { return e.error }

// mistakes returns the parts of an error of reading the configuration.
func mistakes(err error) []publishedMistake {
	all := []publishedMistake{}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, m := range problems {
			all = append(all, publishedMistake{m.File, m.Line, m.Column, m.Message, m.Hint})
		}
	case err != nil:
		all = append(all, publishedMistake{Message: err.Error()})
	}
	return all
}

func (p *publishedCheck) describe(ctx context.Context, conf *config.Config, tokens Tokens) {
	if warnings := append(Warnings(conf, tokens), journalWarnings(ctx, conf)...); len(warnings) > 0 {
		p.Warnings = mistakes(warnings)
	}
	for _, s := range conf.Sources {
		files, problems := trial.FilesOf(s)
		if s.Journal != nil {
			if problem := journalProblem(ctx, conf); problem != "" {
				problems, p.unread = append(problems, problem), true
			}
		}
		p.Sources = append(p.Sources, publishedSource{s.Name, s.Format, len(files), append([]string{}, problems...)})
	}
	for _, r := range conf.Rules {
		p.Rules = append(p.Rules, publishedRule{r.Name, r.SKUText(), r.Per / meter.One(r.Decimals), r.Sources, r.ProductID, r.Decimals, meter.Number(r.Max, r.Decimals)})
	}
}

// runTests runs the tests. The check is fine where all passed.
func (p *publishedCheck) runTests(conf *config.Config) {
	p.OK = true
	results := selftest.Run(conf)
	for _, r := range results {
		t := publishedTest{r.Name, r.Pos.Line, r.Pos.Column, r.OK(), append([]string{}, r.Failures...), []publishedTestCount{}, []publishedTestTrouble{}}
		for _, c := range r.Counts {
			windows := []string{}
			for _, w := range c.Windows {
				windows = append(windows, screen.Stamp(w))
			}
			t.Counts = append(t.Counts, publishedTestCount{c.Rule, c.SKU, c.Units, meter.Number(c.Amount, c.Decimals), windows})
		}
		for _, e := range r.Troubles {
			t.Errors = append(t.Errors, publishedTestTrouble{string(e.Kind), e.Subject, e.Count, e.Example})
		}
		p.Tests = append(p.Tests, t)
		p.OK = p.OK && r.OK()
	}
	if len(results) > 0 {
		p.Untested = append(p.Untested, untested(conf, results)...)
	}
}
