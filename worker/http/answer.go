package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// answer is what a server said, with at most so much of the body as is asked for.
type answer struct {
	code   int
	header http.Header
	body   []byte
	cut    bool
}

// read reads to the end, so that the connection can be used again, unless the body is too long.
func read(response *http.Response, limit int) (answer, error) {
	defer func() { _ = response.Body.Close() }() // all that is wanted was read
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	got := answer{code: response.StatusCode, header: response.Header, body: body}
	if len(body) > limit {
		got.body, got.cut = body[:limit], true
	}
	return got, err
}

func (a answer) isDone() bool { return a.code/100 == 2 }

func (a answer) status() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.code, http.StatusText(a.code)))
}

// judge decides what the answer means for the job.
func (e *endpoint) judge(ctx context.Context, job *worker.Job, got answer) (any, error) {
	if got.isDone() {
		return e.result(ctx, job, got), nil
	}
	if got.code == http.StatusTooManyRequests || got.code == http.StatusServiceUnavailable {
		if wait, asked := retryAfter(got.header, time.Now()); asked {
			e.options.Logger.InfoContext(ctx, "server asks to wait", "job", job.ID, "task", job.Task, "host", e.host, "status", got.code, "wait", wait)
			return nil, worker.Snooze(wait)
		}
	}
	switch {
	case got.code == http.StatusRequestTimeout, got.code == http.StatusTooEarly, got.code == http.StatusTooManyRequests, got.code >= 500:
		return nil, got.failure()
	default:
		return nil, worker.Permanent(got.failure())
	}
}

// result is the body if it is JSON.
func (e *endpoint) result(ctx context.Context, job *worker.Job, got answer) any {
	log := e.options.Logger.With("job", job.ID, "task", job.Task, "host", e.host)
	body := bytes.TrimSpace(got.body)
	switch {
	case got.cut:
		log.WarnContext(ctx, "answer too long for a result")
		return nil
	case len(body) == 0:
		return nil
	case json.Valid(body):
		return json.RawMessage(body)
	case got.claimsJSON():
		log.WarnContext(ctx, "answer is not the JSON that it says it is")
		return nil
	default: // many servers say ok to everything
		log.DebugContext(ctx, "answer is not JSON")
		return nil
	}
}

func (a answer) claimsJSON() bool {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// failure is the status, where a redirect points to, and the beginning of the body.
func (a answer) failure() error {
	text := a.status()
	if location := a.header.Get("Location"); a.code/100 == 3 && location != "" {
		text += " to " + withoutUser(location) + " (redirects are not followed)"
	}
	if words := beginning(a.body); words != "" {
		text += ": " + words
	}
	return errors.New(text)
}

func withoutUser(location string) string {
	parsed, err := url.Parse(location)
	if err != nil {
		return "what is no URL"
	}
	parsed.User = nil
	return beginning([]byte(parsed.String()))
}

const maxText = 2 << 10

// beginning is the first 2 kB of a text, and nothing of what is none.
func beginning(body []byte) string {
	more := ""
	if len(body) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(body[end]) {
			end--
		}
		body, more = body[:end], "…"
	}
	text := strings.TrimSpace(string(body))
	isBinary := func(c rune) bool { return unicode.IsControl(c) && !strings.ContainsRune("\t\n\r", c) }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, isBinary) || text == "" {
		return ""
	}
	return text + more
}

// A server that says 0 shall not make the worker spin, and one that is wrong by a year not bury the job.
const minWait, maxWait = time.Second, 24 * time.Hour

// retryAfter reads seconds or a time. A time is taken as the server's clock sees it, if that is told.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, asked bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return clamp(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return clamp(at.Sub(now)), true
}

func clamp(wait time.Duration) time.Duration { return min(max(wait, minWait), maxWait) }
