// Package ledger is meterlog's accounting book: one SQLite database that holds
// the positions in the followed files, the usage records and where each came
// from. It is the only thing of meterlog that is durable.
//
// # What it promises
//
// Positions and counts move in the same transaction ([Ledger.Commit]), so that
// a process killed at any instruction finds on its next start exactly the
// state of the last commit. A record never changes once it is sealed: only its
// state, and what is known of its delivery, move on. Nothing that was counted
// is deleted before it is settled and its retention time has passed.
//
// The life of a record:
//
//	open → sealed → accepted | refused | expired | in_doubt
//
// What another machine had counted before its disk was copied becomes foreign:
// see [Ledger.BindMachine] and [Ledger.BindInstance].
//
// # Who may use it
//
// One process writes: [Open] takes an exclusive lock on the folder. A Ledger's
// methods may be called concurrently; the meter loop and the send loop do.
// Other processes read it through [OpenReader], or with sqlite3, at any time,
// and queue refused records again with [Requeue].
//
// # Caveats
//
// The database is in WAL mode with synchronous=FULL: a commit returns when it
// has reached the disk. The folder must be on a local file system. A backup is
// made with `sqlite3 ledger.db ".backup copy.db"`, never with cp beside a
// running agent.
package ledger
