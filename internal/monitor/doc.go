// Package monitor is what can be seen of meterlog from outside: its status, its
// health and its metrics.
//
// Most of it comes from the ledger and from the followed files, so it is known
// whether or not the agent runs ([Subject.Status]). Only the running agent knows what
// fails at present, whether its loops are alive, and how much they did. It keeps that
// in [Health]: the loops write it, and anybody may read it concurrently.
//
// Nothing here changes what is counted or delivered.
package monitor
