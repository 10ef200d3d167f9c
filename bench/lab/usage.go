package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Processes are all of this machine, by id.
type Processes map[int]usage

// usage is the CPU time of a process and of its children that ended.
type usage struct {
	parent      int
	own, reaped time.Duration
}

// ReadProcesses reads /proc.
func ReadProcesses() (Processes, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	result := Processes{}
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if result[pid], err = parseStat(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if len(result) == 0 {
		return nil, errors.New("CPU times are read from /proc, which is not here")
	}
	return result, nil
}

// Parent is 0 for a process that is not there.
func (p Processes) Parent(pid int) int { return p[pid].parent }

// Tree is the CPU time of a process and of all that it started, also of those that ended.
func (p Processes) Tree(pid int) time.Duration {
	sum := p[pid].own + p[pid].reaped
	for child, u := range p {
		if u.parent == pid {
			sum += p.Tree(child)
		}
	}
	return sum
}

// parseStat reads a line of proc(5). The second field, in brackets, is a name that may hold anything.
func parseStat(text []byte) (u usage, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return u, fmt.Errorf("it has %d fields", len(fields))
	}
	var faults []error
	number := func(i int) int {
		n, err := strconv.Atoi(string(fields[i]))
		faults = append(faults, err)
		return n
	}
	u.parent = number(1)
	u.own = time.Duration(number(11)+number(12)) * tick
	u.reaped = time.Duration(number(13)+number(14)) * tick
	return u, errors.Join(faults...)
}

// PeakMemory is the most that a running process had in memory at once, in bytes.
func PeakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(string(text))
}

func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes * 1024, nil
		}
	}
	return 0, errors.New("the status of the process has no VmHWM")
}
