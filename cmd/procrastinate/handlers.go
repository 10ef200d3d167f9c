package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/exec"
)

// parseHandlers reads task=kind:target strings and reports all that do not parse.
func parseHandlers(lines []string, options exec.Options) (map[string]worker.Handler, error) {
	handlers := map[string]worker.Handler{}
	var faults []error
	for _, line := range nonEmpty(lines) {
		task, handler, err := parseHandler(line, options)
		if err == nil && handlers[task] != nil {
			err = fmt.Errorf("task %q has a handler already", task)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("handler %q: %w", line, err))
			continue
		}
		handlers[task] = handler
	}
	if len(handlers) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("no handler: use --handler task=exec:program"))
	}
	return handlers, errors.Join(faults...)
}

func parseHandler(line string, options exec.Options) (task string, handler worker.Handler, err error) {
	task, spec, ok := strings.Cut(line, "=")
	if task = strings.TrimSpace(task); !ok || task == "" {
		return "", nil, errors.New("not of the form task=exec:program")
	}
	if err := worker.CheckTask(task); err != nil {
		return "", nil, err
	}
	kind, target, ok := strings.Cut(strings.TrimSpace(spec), ":")
	if !ok || kind != "exec" {
		return "", nil, fmt.Errorf("unknown kind %q, exec is known", kind)
	}
	handler, err = exec.Handler(target, options)
	return task, handler, err
}
