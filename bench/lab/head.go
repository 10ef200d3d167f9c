package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Head says where and when a report was made.
type Head struct {
	Date       string `json:"date"`
	Took       string `json:"took"`
	Commit     string `json:"commit"`
	Machine    string `json:"machine"`
	PostgreSQL string `json:"postgresql"`
	Settings   string `json:"settings"`
}

// NewHead asks a server that Start started.
func NewHead(ctx context.Context, conn *pgx.Conn) (Head, error) {
	h := Head{Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Commit: commit(ctx), Machine: machine(ctx)}
	if err := conn.QueryRow(ctx, `show server_version`).Scan(&h.PostgreSQL); err != nil {
		return h, err
	}
	var names []string
	for _, s := range settings {
		name, _, _ := strings.Cut(s, " = ")
		names = append(names, name)
	}
	err := conn.QueryRow(ctx,
		`select string_agg(n || ' = ' || current_setting(n), ', ' order by i) from unnest($1::text[]) with ordinality x(n, i)`, names,
	).Scan(&h.Settings)
	return h, err
}

// String is the first lines of a report.
func (h Head) String() string {
	return fmt.Sprintf("%s, commit %s, took %s\n%s\nPostgreSQL %s: %s\n", h.Date, h.Commit, h.Took, h.Machine, h.PostgreSQL, h.Settings)
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=9").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func machine(ctx context.Context) string {
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo") // elsewhere than on Linux the architecture has to do
	for line := range bytes.Lines(info) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && strings.TrimSpace(string(name)) == "model name" {
			model = strings.TrimSpace(string(value))
			break
		}
	}
	kernel, err := exec.CommandContext(ctx, "uname", "-sr").Output()
	if err != nil {
		kernel = []byte(runtime.GOOS)
	}
	return fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)))
}

// Progress returns a function that writes a line and how long the run has taken so far.
func Progress(w io.Writer) func(format string, args ...any) {
	began := time.Now()
	var one sync.Mutex
	return func(format string, args ...any) {
		one.Lock()
		defer one.Unlock()
		fmt.Fprintf(w, "%4.0f s  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
	}
}

// WriteJSON writes a report to a file.
func WriteJSON(path string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Median is NaN of no values.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Ratio is the median of the ratios of each round, to two digits, as it is printed and held against targets.
// It is NaN if there is nothing to compare.
func Ratio(of, to []float64) float64 {
	var each []float64
	for i := range min(len(of), len(to)) {
		each = append(each, of[i]/to[i])
	}
	return math.Round(Median(each)*100) / 100
}
