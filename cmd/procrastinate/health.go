package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// errUnhealthy ends health, which has said already what is wrong.
var errUnhealthy = fmt.Errorf("%w: not healthy", errSaid)

type healthLimits struct {
	minWorkers int
	maxWait    span
	maxTick    span
	timeout    span
}

func healthCommand(options *options) *cobra.Command {
	limits := healthLimits{
		minWorkers: 1,
		maxTick:    span{text: "1m", rest: time.Minute},
		timeout:    span{text: "5s", rest: 5 * time.Second},
	}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether jobs get done: for probes and for cron",
		Long: "Tell whether jobs get done, a line for each check; exit status 1 if one fails. Writes nothing, and reads\n" +
			"little, however many jobs there are.\n\n" +
			"  database   it answers\n" +
			"  schema     it has the functions that this program knows\n" +
			"  workers    enough of them are alive\n" +
			"  waiting    how long a job has been waiting that could start; paused queues do not count\n" +
			"  served     a live worker has the queue and the task of each such job\n" +
			"  clockwork  somebody ticks, so that jobs become due and dead workers are missed\n" +
			"  schedules  how long a run is overdue",
		Example: "  procrastinate health --max-wait 10m\n" +
			"  procrastinate health --json | jq '.checks[] | select(.ok | not)'",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var faults []error
			if limits.minWorkers < 0 {
				faults = append(faults, fmt.Errorf("invalid value \"%d\" for --min-workers: want a whole number, at least 0", limits.minWorkers))
			}
			if limits.timeout.duration() <= 0 {
				faults = append(faults, invalid("--timeout", limits.timeout.text, "span"))
			}
			if err := joinUsage(faults...); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), limits.timeout.duration())
			defer cancel()
			findings, err := examine(ctx, options, limits)
			if err != nil {
				return err
			}
			return printFindings(cmd.OutOrStdout(), options, findings)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&limits.minWorkers, "min-workers", limits.minWorkers, "fail with fewer live workers")
	flags.Var(&limits.maxWait, "max-wait", "fail if a job waits or a run is overdue longer than this, as 10m (default: no limit)")
	flags.Var(&limits.maxTick, "max-tick", "fail if nobody has ticked for so long")
	flags.Var(&limits.timeout, "timeout", "for all of it")
	return cmd
}

func printFindings(out io.Writer, options *options, findings []finding) error {
	healthy := true
	var lines strings.Builder
	table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		word := "ok"
		if !f.OK {
			word, healthy = "FAIL", false
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", word, f.Check, f.Text)
	}
	err := table.Flush()
	if options.json {
		err = printJSON(out, map[string]any{"healthy": healthy, "checks": findings})
	} else if err == nil {
		_, err = io.WriteString(out, lines.String())
	}
	if err == nil && !healthy {
		err = errUnhealthy
	}
	return err
}
