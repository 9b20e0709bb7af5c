package monitor

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/meterlog/meterlog/internal/meter"
)

// page shows the status to a person. It needs nothing from elsewhere, runs no
// script, and holds no text of a log line.
var page = template.Must(template.New("page").Funcs(template.FuncMap{"age": age, "behind": behind}).Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="30">
<title>meterlog{{if .Problems}}: {{len .Problems}} to look at{{end}}</title>
<style>
:root { color-scheme: light dark; --line: #d8d8d8; --soft: #666; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --line: #3a3a3a; --soft: #a0a0a0; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
.n { text-align: right; font-variant-numeric: tabular-nums }
.soft { color: var(--soft) } .bad { color: var(--bad) } dd { margin: 0 0 .75rem 0 }
</style>
<h1>meterlog {{.Version}}</h1>
<p class="soft">product {{.ProductID}}, state in {{.StateDir}}, as of {{.At.UTC.Format "2006-01-02 15:04:05"}} UTC</p>
<h2>Problems</h2>
{{if .Problems}}<dl>{{range .Problems}}
<dt class="bad">{{.Code}}</dt><dd>{{.Message}}<br><span class="soft">{{.Hint}}</span></dd>{{end}}
</dl>{{else}}<p>Nothing is wrong.</p>{{end}}
{{if .Notes}}<h2>To know</h2><dl>{{range .Notes}}
<dt>{{.Code}}</dt><dd>{{.Message}}<br><span class="soft">{{.Hint}}</span></dd>{{end}}
</dl>{{end}}
<h2>Usage</h2>
<table><tr><th>SKU<th class="n">last hour<th class="n">today, UTC<th class="n">total</tr>
{{range .SKUs}}<tr><td>{{.SKU}}<td class="n">{{.LastHour}}<td class="n">{{.Today}}<td class="n">{{.Total}}</tr>
{{end}}</table>
<h2>Records</h2>
<table><tr>{{range .Counts}}<th class="n">{{.State}}{{end}}</tr><tr>{{range .Counts}}<td class="n">{{.N}}{{end}}</tr></table>
{{if .OldestUnsettled}}<p>The oldest that is not settled is {{age .OldestUnsettled}} old. The API takes it for another {{age .TimeLeft}}.</p>{{end}}
<h2>Sources</h2>
<table><tr><th>source<th class="n">files<th class="n">bytes behind</tr>
{{range .Sources}}<tr><td>{{.Name}}<td class="n">{{len .Files}}<td class="n">{{behind .}}</tr>
{{end}}</table>
<p class="soft"><a href="/status">/status</a> <a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a></p>
</html>
`))

// pageStatus is a status with what the page adds.
type pageStatus struct {
	Status
	Counts []stateCount
}

type stateCount struct {
	State string
	N     int
}

func age(seconds int64) string { return (time.Duration(seconds) * time.Second).String() }

func behind(s SourceStatus) (bytes int64) {
	for _, f := range s.Files {
		bytes += f.Lag
	}
	return bytes
}

func servePage(w http.ResponseWriter, st Status) {
	full := pageStatus{Status: st}
	for _, state := range meter.States {
		full.Counts = append(full.Counts, stateCount{strings.ReplaceAll(string(state), "_", " "), st.Records[state]})
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if err := page.Execute(w, full); err != nil {
		fmt.Fprintln(w, "the page could not be written to its end")
	}
}
