package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	nethttp "net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/exec"
	"github.com/procrastinate-pg/procrastinate/worker/http"
	"github.com/procrastinate-pg/procrastinate/worker/sql"
)

// httpOptions have no flag for a secret: everybody on a machine can read the flags of its processes.
type httpOptions struct {
	Secret     string        `env:"HTTP_SECRET"`
	SecretFile string        `env:"HTTP_SECRET_FILE"`
	Timeout    time.Duration `env:"HTTP_TIMEOUT"`
	Proxy      string        `env:"HTTP_PROXY"`
}

// options are those of the handlers, with a connection kept for each that may run at once.
func (o httpOptions) options(concurrency int, logger *slog.Logger) (http.Options, error) {
	transport := http.NewTransport(concurrency)
	secrets, secretErr := o.secrets()
	if secretErr != nil {
		logger = nil // it would be told that nothing is signed
	}
	var proxyErr error
	if o.Proxy != "" {
		proxy, err := url.Parse(o.Proxy)
		if err != nil || proxy.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, proxy.Scheme) {
			proxyErr = errors.New(prefix + "HTTP_PROXY is not the URL of a proxy, as in http://proxy:3128") // it may hold a password
		}
		transport.Proxy = nethttp.ProxyURL(proxy)
	}
	return http.Options{Secrets: secrets, Timeout: o.Timeout, Transport: transport, Logger: logger}, errors.Join(secretErr, proxyErr)
}

func (o httpOptions) secrets() (secrets []http.Secret, err error) {
	text, source := o.Secret, prefix+"HTTP_SECRET"
	if o.SecretFile != "" {
		if text != "" {
			return nil, errors.New("both " + source + " and a file with secrets: one of them")
		}
		source = "file " + o.SecretFile
		content, err := os.ReadFile(o.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("read secrets: %w", err)
		}
		if text = string(content); strings.TrimSpace(text) == "" {
			return nil, errors.New(source + " holds no secret")
		}
	}
	for _, word := range strings.Fields(text) {
		secret, err := http.ParseSecret(word)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// sqlPool is made when all that the user said is known to be right, and only if there is a function.
type sqlPool struct{ *pgxpool.Pool }

// handlers are those of a worker, by task.
type handlers struct {
	byTask    map[string]worker.Handler
	functions []string
	pool      *sqlPool
}

// parseHandlers reads task=kind:target strings and reports all that do not parse.
func parseHandlers(lines []string, execOptions exec.Options, httpOptions http.Options) (*handlers, error) {
	h := &handlers{byTask: map[string]worker.Handler{}, pool: &sqlPool{}}
	var faults []error
	for _, line := range nonEmpty(lines) {
		task, handler, err := h.parse(line, execOptions, httpOptions)
		if err == nil && h.byTask[task] != nil {
			err = fmt.Errorf("task %q has a handler already", task)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("handler %q: %w", withoutURL(line), err))
			continue
		}
		h.byTask[task] = handler
	}
	if len(h.byTask) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("no handler: use --handler task=exec:program, task=https://host/path or task=sql:function"))
	}
	return h, errors.Join(faults...)
}

// missing names the tasks that have a concurrency and no handler.
func (h *handlers) missing(concurrency map[string]int) error {
	var faults []error
	for _, task := range slices.Sorted(maps.Keys(concurrency)) {
		if h.byTask[task] == nil {
			faults = append(faults, fmt.Errorf("task %q has a concurrency and no handler", task))
		}
	}
	return errors.Join(faults...)
}

func (h *handlers) parse(line string, execOptions exec.Options, httpOptions http.Options) (task string, handler worker.Handler, err error) {
	task, spec, ok := strings.Cut(line, "=")
	if task = strings.TrimSpace(task); !ok || task == "" {
		return "", nil, errors.New("not of the form task=kind:target")
	}
	if err := worker.CheckTask(task); err != nil {
		return "", nil, err
	}
	spec = strings.TrimSpace(spec)
	kind, target, _ := strings.Cut(spec, ":")
	switch kind {
	case "exec":
		handler, err = exec.Handler(target, execOptions)
	case "http", "https":
		handler, err = http.Handler(spec, httpOptions)
	case "sql":
		handler, err = sql.Handler(h.pool, target)
		h.functions = append(h.functions, target)
	default:
		err = fmt.Errorf("unknown kind %q; exec, http, https and sql are known", kind)
	}
	return task, handler, err
}

// withoutURL leaves out what may hold a password or a token: all after the colon, unless it is plain that it is no URL.
func withoutURL(line string) string {
	_, spec, _ := strings.Cut(line, "=")
	kind, _, _ := strings.Cut(strings.TrimSpace(spec), ":")
	before, _, found := strings.Cut(line, ":")
	if !found || kind == "exec" || kind == "sql" {
		return line
	}
	return before + ":…"
}

// connect makes the pool of the functions, and finds out whether they can be called. The returned function closes the pool.
func (h *handlers) connect(ctx context.Context, config *pgxpool.Config, concurrency int) (closePool func(), err error) {
	if len(h.functions) == 0 {
		return func() {}, nil
	}
	if h.pool.Pool, err = sql.NewPool(ctx, config, concurrency); err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	if err := sql.Check(ctx, h.pool, h.functions...); err != nil {
		h.pool.Close()
		return nil, err
	}
	return h.pool.Close, nil
}
