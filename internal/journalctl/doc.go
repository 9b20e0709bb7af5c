// Package journalctl runs the program of this name, which prints the systemd journal.
//
// It hands on what journalctl prints, and listens to what journalctl says on standard
// error: there alone it tells of damaged files. The package journaltest has another
// journalctl, for tests.
package journalctl
