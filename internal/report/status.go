package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/monitor"
	"github.com/meterlog/meterlog/internal/screen"
)

// Reasons prints what is wrong, a line each.
func Reasons(w io.Writer, st monitor.Status) {
	for _, p := range st.Problems {
		fmt.Fprintf(w, "%s: %s\n", p.Code, screen.Visible(p.Message))
	}
	if len(st.Problems) == 0 {
		fmt.Fprintln(w, "nothing is wrong")
	}
}

// Status prints the status at a glance.
func Status(w io.Writer, st monitor.Status) {
	running := "does not run"
	if st.Running {
		running = "runs"
		if st.PID != 0 {
			running += fmt.Sprintf(" (pid %d)", st.PID)
		}
	}
	fmt.Fprintf(w, "meterlog %s %s; product %s, state in %s\n\n", st.Version, running, screen.OrDash(st.ProductID), st.StateDir)
	printSKUs(w, st)
	printWaiting(w, st)
	printSources(w, st)
	printRules(w, st)
	for _, p := range st.Peaks[:min(mostPeaks, len(st.Peaks))] {
		fmt.Fprintf(w, "%s of %s: %s of %s from %s to %s, which counts when that is over\n", meter.Plural(p.Peaks, "peak"), screen.Visible(p.Rule), p.Amount, p.SKU, p.From, p.To)
	}
	if more := len(st.Peaks) - mostPeaks; more > 0 {
		fmt.Fprintf(w, "and peaks of %d more stretches and SKUs, see --format json\n", more)
	}
	for _, r := range st.Repeated {
		fmt.Fprintf(w, "%s of %s, whose keys had counted\n", meter.Plural(r.Count, "repeated line"), screen.Visible(r.Rule))
	}
	printProblems(w, st)
}

func printSKUs(w io.Writer, st monitor.Status) {
	rows, names := [][]string{{"SKU", "LAST\nHOUR", "TODAY\n(UTC)", "TOTAL", "ACCEPTED", "WAITING", "IN\nDOUBT", "NOT\nBILLABLE"}}, 1
	shown := st.MostUsed(mostSKUs)
	for _, s := range shown {
		rows = append(rows, []string{s.SKU, fmt.Sprint(s.LastHour), fmt.Sprint(s.Today), fmt.Sprint(s.Total),
			fmt.Sprint(s.Accepted), fmt.Sprint(s.Waiting), fmt.Sprint(s.InDoubt), fmt.Sprint(s.NotBillable)})
	}
	if st.SeveralProducts() {
		names = 2
		rows[0] = slices.Insert(rows[0], 0, "PRODUCT")
		for i, s := range shown {
			rows[i+1] = slices.Insert(rows[i+1], 0, s.ProductID)
		}
	}
	if len(rows) > 1 {
		screen.WriteColumns(w, rows, names)
		if more := len(st.SKUs) - len(shown); more > 0 {
			fmt.Fprintf(w, "and %d more SKUs with smaller totals, see --format json\n", more)
		}
		fmt.Fprintf(w, "last hour: %s\n\n", sparkline(st.LastMinutes))
	}
}

// sparkline draws quantities ≥ 0 as bars, one character each; 0 is blank.
func sparkline(quantities []int64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	most := slices.Max(quantities)
	var line strings.Builder
	for _, q := range quantities {
		if q <= 0 {
			line.WriteRune('·')
			continue
		}
		line.WriteRune(bars[int(float64(q)/float64(most)*float64(len(bars)-1)+0.5)])
	}
	return line.String()
}

func printWaiting(w io.Writer, st monitor.Status) {
	var counts []string
	for _, state := range meter.States {
		if n := st.Records[state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(state), "_", " ")))
		}
	}
	if len(counts) == 0 {
		counts = []string{"none yet"}
		if slices.ContainsFunc(st.Problems, func(p monitor.ProblemStatus) bool { return p.Code == "ledger_unreadable" }) {
			counts = []string{"unknown"}
		}
	}
	fmt.Fprintf(w, "records: %s\n", strings.Join(counts, ", "))
	if st.Records[meter.Open]+st.Records[meter.Sealed] > 0 {
		fmt.Fprintf(w, "oldest that is not settled: %v ago; the API takes it for another %v\n",
			time.Duration(st.OldestUnsettled)*time.Second, time.Duration(st.TimeLeft)*time.Second)
	}
	fmt.Fprintln(w)
}

// The page shows at most these numbers of SKUs, the most used, of files of a
// source, furthest behind first, of rules, of problems of a code, and of open peaks.
const (
	mostSKUs     = 50
	mostFiles    = 10
	mostRules    = 50
	mostProblems = 5
	mostPeaks    = 20
)

func printSources(w io.Writer, st monitor.Status) {
	rows := [][]string{{"SOURCE", "FILE", "STATE", "READ", "BEHIND"}}
	for _, s := range st.Sources {
		files := slices.Clone(s.Files)
		slices.SortStableFunc(files, func(a, b monitor.FileStatus) int { return int(min(1, max(-1, b.Lag-a.Lag))) })
		name := s.Name
		for _, f := range files[:min(mostFiles, len(files))] {
			read, behind := screen.SizeText(f.Offset), screen.SizeText(f.Lag)
			switch {
			case journal.IsClock(meter.Generation{Path: f.Path}):
				read, behind = readTo(f.Offset), ""
			case journal.IsJournal(f.Path):
				read, behind = readEntries(f), fmt.Sprint(f.Lag)
			}
			rows = append(rows, []string{name, screen.Shortened(f.Path), f.State, read, behind})
			name = ""
		}
		switch more := len(files) - mostFiles; {
		case len(files) == 0:
			rows = append(rows, []string{name, "none", "", "", ""})
		case more > 0:
			rows = append(rows, []string{"", fmt.Sprintf("and %d more, none further behind", more), "", "", ""})
		}
	}
	if len(rows) > 1 {
		screen.WriteColumns(w, rows, 3)
		fmt.Fprintln(w)
	}
}

// printRules shows when each rule last counted a line.
func printRules(w io.Writer, st monitor.Status) {
	rows := [][]string{{"RULE", "LAST MATCH", "READ SINCE"}}
	for _, r := range st.Rules[:min(mostRules, len(st.Rules))] {
		last := "never"
		if r.LastMatch != "" {
			last = r.LastMatch
		}
		rows = append(rows, []string{r.Name, last, screen.SizeText(r.BytesSince)})
	}
	if len(rows) == 1 {
		return
	}
	screen.WriteColumns(w, rows, 2)
	if more := len(st.Rules) - mostRules; more > 0 {
		fmt.Fprintf(w, "and %d more rules, see --format json\n", more)
	}
	fmt.Fprintln(w)
}

// readTo says up to when a clock was read.
func readTo(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return "to " + screen.Stamp(time.Unix(seconds, 0))
}

// readEntries says how far a journal was read.
func readEntries(f monitor.FileStatus) string {
	text := fmt.Sprintf("%d entries", f.Offset)
	if !f.Last().IsZero() {
		text += ", to " + screen.Stamp(f.Last())
	}
	return text
}

func printProblems(w io.Writer, st monitor.Status) {
	if len(st.Problems) == 0 {
		fmt.Fprintln(w, "nothing is wrong")
	} else {
		printList(w, "problems:", st.Problems)
	}
	if len(st.Notes) > 0 {
		printList(w, "notes:", st.Notes)
	}
}

func printList(w io.Writer, title string, list []monitor.ProblemStatus) {
	fmt.Fprintln(w, title)
	shown := make(map[string]int)
	for _, p := range list {
		if shown[p.Code]++; shown[p.Code] <= mostProblems {
			screen.WriteWrapped(w, "  ", "    ", p.Code+": "+p.Message)
			screen.WriteWrapped(w, "      → ", "        ", p.Hint)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(shown)) {
		if more := shown[code] - mostProblems; more > 0 {
			fmt.Fprintf(w, "  %s: and %d more, see --format json\n", code, more)
		}
	}
}
