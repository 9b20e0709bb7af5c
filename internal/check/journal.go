package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/remedy"
	"github.com/meterlog/meterlog/internal/rules"
)

// journalText returns what a source of the journal chooses.
func journalText(j *rules.Journal) string {
	var parts []string
	for _, part := range []struct {
		what   string
		values []string
	}{{"unit", j.Units}, {"identifier", j.Identifiers}, {"match", j.Matches}} {
		if len(part.values) > 0 {
			parts = append(parts, part.what+" "+strings.Join(part.values, ", "))
		}
	}
	return "journal: " + strings.Join(parts, "; ")
}

// journalProblem returns why the journal cannot be read that a source asks for;
// "" if it can, or if no source does.
func journalProblem(ctx context.Context, conf *config.Config) string {
	for _, s := range conf.Sources {
		if s.Journal == nil {
			continue
		}
		if err := journal.Check(ctx); err != nil {
			return fmt.Sprintf("source %s: %v", s.Name, err)
		}
		return ""
	}
	return ""
}

// journalWarnings names what sources choose and the journal does not know: likely
// a mistake in a name. It warns of nothing if the journal cannot be read.
func journalWarnings(ctx context.Context, conf *config.Config) (warnings config.Problems) {
	known := map[string][]string{} // values, by field
	for _, s := range conf.Sources {
		if s.Journal == nil {
			continue
		}
		for _, match := range matchesOf(s.Journal) {
			field, value, _ := strings.Cut(match, "=")
			if _, asked := known[field]; !asked {
				values, err := journal.Values(ctx, field)
				if err != nil {
					return nil
				}
				known[field] = values
			}
			if slices.Contains(known[field], value) || field == "_SYSTEMD_UNIT" && isUnit(value) {
				continue
			}
			message, hint := fmt.Sprintf("source %s: the journal has no entry with %s", s.Name, match), remedy.DidYouMean(value, known[field])
			if field == "_SYSTEMD_UNIT" {
				message = fmt.Sprintf("source %s: there is no unit %s", s.Name, value)
			}
			if hint == "" {
				hint = "see `journalctl --field=" + field + "` for what there is"
			}
			warnings = append(warnings, config.Problem{File: conf.Path, Line: s.Pos.Line, Column: s.Pos.Column, Message: message, Hint: hint})
		}
	}
	return warnings
}

// matchesOf returns all that a source chooses as matches.
func matchesOf(j *rules.Journal) (matches []string) {
	for _, unit := range j.Units {
		matches = append(matches, "_SYSTEMD_UNIT="+unit)
	}
	for _, identifier := range j.Identifiers {
		matches = append(matches, "SYSLOG_IDENTIFIER="+identifier)
	}
	return append(matches, j.Matches...)
}

// unitFolders are where systemd looks for the files of units.
var unitFolders = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
	"/run/systemd/transient", "/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late",
}

// isUnit reports whether there is a file of the unit, or of its template.
func isUnit(name string) bool {
	names := []string{name}
	if base, instance, isInstance := strings.Cut(name, "@"); isInstance {
		names = append(names, base+"@"+filepath.Ext(instance))
	}
	for _, folder := range unitFolders {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
				return true
			}
		}
	}
	return false
}
