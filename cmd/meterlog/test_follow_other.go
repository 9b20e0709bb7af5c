//go:build !linux

package main

// notifications reports whether the system can tell of changes.
func notifications() bool { return true }
