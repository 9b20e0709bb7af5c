//go:build man

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// With the tag man this program only writes Markdown, from the help texts of the
// commands. packaging/man makes meterlog(1) of it. The product itself is built
// without the tag.
func init() {
	writeManual(os.Stdout, newRoot())
	os.Exit(exitDone)
}

// manualEnd is what no help text has.
const manualEnd = `
## FILES
| | |
|---|---|
| */etc/meterlog/rules.yaml* | The configuration: see meterlog-rules(5). |
| */etc/meterlog/key.json* | An authorized key, if one is used. |
| */var/lib/meterlog/ledger.db* | The ledger: positions and records. ` + "`sqlite3`" + ` reads it; nothing but meterlog may write it. |
| */usr/share/doc/meterlog/examples* | Configurations for several products. |

## ENVIRONMENT
| | |
|---|---|
| ` + "`STATE_DIRECTORY`" + ` | The state folder, where neither --state-dir nor the configuration names one. systemd sets it. |
| ` + "`METERLOG_IAM_TOKEN`" + ` | The token, with ` + "`auth: {method: token}`" + ` and no token_file. |
| ` + "`METERLOG_MACHINE_ID_FILE`" + ` | Another file than */etc/machine-id* to know the machine by. |
| ` + "`YC_METADATA_ADDR`" + ` | Another address of the metadata service. |
| ` + "`HTTPS_PROXY`, `NO_PROXY`" + ` | The proxy on the way to the API, and what needs none. |
| ` + "`NO_COLOR`" + ` | No colours on a terminal. |

## EXIT STATUS
| | |
|---|---|
| 0 | Done. |
| 1 | Something asked for failed or was not accepted. |
| 2 | The command line or the configuration is wrong. |
`

func writeManual(w io.Writer, root *cobra.Command) {
	fmt.Fprintln(w, "# meterlog")
	writeHelp(w, root.Long)
	fmt.Fprintln(w, "## COMMANDS")
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			writeCommand(w, c)
		}
	}
	io.WriteString(w, manualEnd)
}

func writeCommand(w io.Writer, c *cobra.Command) {
	fmt.Fprintf(w, "\n### %s\n\n", literally(c.UseLine()))
	if strings.HasPrefix(c.Long, c.Name()+" ") {
		writeHelp(w, c.Long)
	} else {
		fmt.Fprintf(w, "%s.\n\n", literally(c.Short))
		if c.Name() != "completion" { // which explains cobra
			writeHelp(w, c.Long)
		}
	}
	c.InitDefaultHelpFlag()
	c.Flags().MarkHidden("help")
	if c.HasAvailableLocalFlags() {
		fmt.Fprintln(w, "\n| flag | |\n|---|---|")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { writeFlag(w, f) })
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n```\n%s\n```\n", c.Example)
	}
	for _, sub := range c.Commands() {
		fmt.Fprintf(w, "\n- `%s`: %s.\n", sub.CommandPath(), literally(sub.Short))
	}
}

// writeHelp writes a help text, whose indented lines stand as they are.
func writeHelp(w io.Writer, help string) {
	fenced := false
	for _, line := range strings.Split(help, "\n") {
		if indented := strings.HasPrefix(line, "  "); indented != fenced && line != "" {
			fmt.Fprintln(w, "```")
			fenced = indented
		}
		if !fenced {
			line = literally(line)
		}
		fmt.Fprintln(w, line)
	}
	if fenced {
		fmt.Fprintln(w, "```")
	}
}

func writeFlag(w io.Writer, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	name := "**--" + f.Name + "**"
	if f.Shorthand != "" {
		name = "**-" + f.Shorthand + "**, " + name
	}
	if value != "" {
		name += " *" + value + "*"
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && !strings.Contains(usage, "default") {
		usage += " (default: " + f.DefValue + ")"
	}
	fmt.Fprintf(w, "| %s | %s |\n", name, strings.ReplaceAll(literally(usage), "|", `\|`))
}

// literally keeps a text from being read as Markdown.
func literally(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "`", "\\`", "[", `\[`, "#", `\#`).Replace(text)
}
