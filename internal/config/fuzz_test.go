package config

import (
	"errors"
	"testing"
	"unicode/utf8"
)

// Whatever a configuration holds, reading it ends in a Config that can be used
// or in problems with a place and a message.
func FuzzParse(f *testing.F) {
	all, _ := mistakes(f)
	for _, m := range all {
		f.Add(m.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, err := Parse("rules.yaml", []byte(text))
		if err == nil {
			config.Warnings()
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%v are no problems", err)
		}
		for i, p := range problems {
			if i == maxProblems { // how many more there are
				break
			}
			if p.Line < 1 || p.Column < 1 || p.Message == "" || !utf8.ValidString(p.String()) {
				t.Fatalf("bad problem %+v", p)
			}
		}
	})
}
