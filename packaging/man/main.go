// Command man writes a manual page from the Markdown that this project's
// documents are written in: headings, paragraphs, lists of one level, fenced
// code, and tables, which become lists of terms. The first heading is the
// document's title and gives way to NAME and DESCRIPTION.
//
//	man -name meterlog-rules -section 5 -about "what meterlog bills" <docs/rules.md
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	var p page
	flag.StringVar(&p.name, "name", "", "the page's name")
	flag.IntVar(&p.section, "section", 1, "the manual's section")
	flag.StringVar(&p.about, "about", "", "the text after the name under NAME")
	flag.StringVar(&p.seeAlso, "see-also", "", "the text under SEE ALSO")
	flag.StringVar(&p.version, "version", "", "the version of meterlog")
	flag.Parse()
	if err := write(p); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write converts standard input. The page's date is SOURCE_DATE_EPOCH, so
// the same sources give the same page.
func write(p page) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	p.date = time.Unix(epoch, 0).UTC()
	markdown, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(p.roff(string(markdown)))
	return err
}
