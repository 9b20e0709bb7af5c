// Package monitor is what can be seen of meterlog from outside: its status, its
// health and its metrics.
//
// Most of it is read from the ledger and from the followed files, so that it
// can be told whether or not the agent runs ([Subject.Status]). What only the
// running agent knows (what fails at present, whether its loops are alive, how
// much they did) it keeps in [Vitals], which the loops write and anybody may
// read concurrently.
//
// Nothing here changes what is counted or delivered.
package monitor
