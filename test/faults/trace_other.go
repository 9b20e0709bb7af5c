//go:build !(linux && amd64)

package main

import (
	"errors"
	"syscall"
)

// tracee is there on Linux on amd64 alone.
type tracee struct {
	*site
	fault
	at, calls int
	met       string
}

func (t *tracee) ended() bool           { return true }
func (t *tracee) signal(syscall.Signal) {}

func (t *tracee) run(func(), ...string) error {
	return errors.New("system calls are traced on Linux on amd64 alone")
}
