// Package fields finds the fields of a line: in JSON, in logfmt, by the groups
// of a pattern. It also reads an event's own time.
//
// [Finder.Find] notes where the wanted fields are and decodes nothing.
// [Span.Value] decodes one of them. [Reader.Map] decodes all of a line's
// fields; both ways give the same values.
//
// A Reader and a Timestamp are immutable and may be shared. A Finder belongs to one
// goroutine.
package fields
