//go:build !linux

package exec

import "syscall"

// processAttr puts the program in a group of its own. It survives a worker that is killed.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
