// Package journalctl runs the program of this name, which prints the systemd journal.
//
// It hands on what journalctl prints, and listens to what journalctl says on standard
// error: it reports damaged files only there. The package journaltest has another
// journalctl, for tests.
package journalctl
