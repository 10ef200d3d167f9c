package exec

import "syscall"

// processAttr puts the program in a group of its own. When the worker is killed the program is killed too, so that
// it does not run beside the attempt that another worker makes of its job.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
