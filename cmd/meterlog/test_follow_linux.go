package main

import "syscall"

// notifications reports whether the system can tell of changes: without, the
// library would end the process.
func notifications() bool {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err == nil {
		syscall.Close(fd)
	}
	return err == nil
}
