// Package journal reads the sources that are not files: the systemd journal, and the
// clock, for products that are sold by the hour.
//
// Like the tailer, a [Stream] and a [Clock] hand out blocks by Next, and the
// positions behind them by Take. One goroutine calls both, and commits the positions
// together with the counts of the blocks.
//
// A Stream reads what journalctl prints. A goroutine of its own runs journalctl and
// starts it again when it ends.
package journal
