// Package page has what the pages of the agent and of the sandbox share: their
// style, their plots, and a script that keeps them fresh. A page loads nothing
// from elsewhere.
package page

import (
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed style.css
var style string

//go:embed refresh.js
var refresh string

// shared has the templates that each page may use: "style" and "refresh" for its
// head and its end, and "plot" for a Plot.
const shared = `
{{- define "plot"}}<svg viewBox="0 0 660 70" role="img" aria-label="{{.Label}}">
<rect class="plot" x="50" y="10" width="600" height="40"/>
<line x1="50" y1="10" x2="650" y2="10"/><line x1="50" y1="50" x2="650" y2="50"/>
<text x="46" y="13" text-anchor="end">{{.Peak}}</text><text x="46" y="53" text-anchor="end">0</text>
{{- range .Bars}}
<rect class="bar" x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="{{.Height}}"><title>{{.From}}: {{.Units}}</title></rect>
{{- end}}
{{- range .Marks}}
<line x1="{{.X}}" y1="50" x2="{{.X}}" y2="53"/><text x="{{.X}}" y="63" text-anchor="{{.Anchor}}">{{.Mark}}</text>
{{- end}}
</svg>{{end}}
`

// Parse returns the template of a page. It panics if the text is wrong. Funcs may
// be nil.
func Parse(text string, funcs template.FuncMap) *template.Template {
	own := template.FuncMap{
		"style":   func() template.CSS { return template.CSS(style) },
		"refresh": func() template.JS { return template.JS(refresh) },
	}
	return template.Must(template.Must(template.New("page").Funcs(own).Funcs(funcs).Parse(shared)).Parse(text))
}

// Nonce sets the headers of a page, and returns the nonce that its style and its
// script must have. The browser runs and loads nothing else.
func Nonce(h http.Header) string {
	nonce := rand.Text()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+
		"'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	return nonce
}

// Bucket is one bar of a plot.
type Bucket struct {
	From  string // when it begins, such as "15:04"
	Mark  string // its label on the axis; "" for none
	Units int64  // ≥ 0
}

// Plot is a bar chart, in the coordinates of its drawing.
type Plot struct {
	Label string // for those who cannot see it
	Peak  int64  // the highest value
	Bars  []Bar  // those above 0
	Marks []Bar  // of the time axis
}

// Bar is a bar of a plot or, with X and Mark alone, a mark of its axis.
type Bar struct {
	Bucket
	X, Y, Width, Height float64
}

// the plot's area, in its own units
const (
	left, width   = 50.0, 600.0
	bottom, depth = 50.0, 40.0
)

// Anchor returns where the label of a mark is fastened. A label at the right edge
// ends at its mark, so that a narrow screen does not cut it off.
func (b Bar) Anchor() string {
	if b.X > left+width-20 {
		return "end"
	}
	return "middle"
}

// NewPlot draws the buckets from left to right.
func NewPlot(label string, buckets []Bucket) Plot {
	p := Plot{Label: label}
	for _, b := range buckets {
		p.Peak = max(p.Peak, b.Units)
	}
	step := width / float64(max(len(buckets), 1))
	for i, b := range buckets {
		x := left + float64(i)*step
		if b.Units > 0 {
			height := depth * float64(b.Units) / float64(p.Peak)
			p.Bars = append(p.Bars, Bar{Bucket: b, X: x, Y: bottom - height, Width: step * 0.9, Height: height})
		}
		if b.Mark != "" {
			p.Marks = append(p.Marks, Bar{Bucket: b, X: x})
		}
	}
	return p
}
