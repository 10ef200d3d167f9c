// Package http makes handlers of URLs. The job is posted as a JSON object, signed by the Standard Webhooks scheme
// (standardwebhooks.com) if there is a secret. The answer's status is the end of the attempt:
//
//	2xx                          done; the body, if it is JSON, is the result
//	429, 503 with Retry-After    put off for that long, which does not count as an attempt
//	408, 425, 429                a failure
//	other 3xx and 4xx            a failure for good; redirects are not followed
//	5xx, no answer               a failure
//
// A failure has the status and the beginning of the answer as its text. docs/webhooks.md says what a receiver needs
// to know.
//
// Where the job goes is said by the URL alone: nothing of the job becomes part of it, and no proxy is taken from the
// environment. A secret in the URL is not written to any log or error: they name its host only.
package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// Options are shared by the handlers of a worker. The zero value is usable, and does not sign.
type Options struct {
	// Secrets sign each request, which then carries a signature of each: a receiver that knows one of them is
	// content, so that it can be given another.
	Secrets []Secret

	// Timeout bounds a request from its first byte to the last of its answer, beside the job's own timeout. Zero
	// means 60s.
	Timeout time.Duration

	// MaxBody is how much of an answer is read, in bytes; there is no result of a longer one. Zero means 1 MiB.
	MaxBody int

	// Transport sends the requests, and is where proxies, certificates and the like are configured. Nil means
	// NewTransport(100) for each handler.
	Transport http.RoundTripper

	// Logger is told of unsigned handlers, of answers that are no results and of servers that ask to wait. Nil
	// logs nothing.
	Logger *slog.Logger
}

// NewTransport makes a transport for all handlers of a worker. It keeps a connection open for each handler that may
// run at once, and uses no proxy.
func NewTransport(concurrency int) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true, // which an own DialContext would turn off
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

type endpoint struct {
	url     string // without user and password
	host    string
	user    *url.Userinfo
	options Options
}

// Handler makes a handler of an http or https URL. User and password in it are sent as basic authentication.
func Handler(target string, options Options) (worker.Handler, error) {
	e, err := newEndpoint(target, options)
	if err != nil {
		return nil, err
	}
	if len(options.Secrets) == 0 {
		e.options.Logger.Warn("requests are not signed", "host", e.host)
	}
	return e.handle, nil
}

func newEndpoint(target string, options Options) (*endpoint, error) {
	parsed, err := parseURL(target)
	if err != nil {
		return nil, err
	}
	for _, secret := range options.Secrets {
		if len(secret.key) == 0 {
			return nil, errors.New("empty secret")
		}
	}
	if options.Timeout == 0 {
		options.Timeout = 60 * time.Second
	}
	if options.MaxBody == 0 {
		options.MaxBody = 1 << 20
	}
	if options.Transport == nil {
		options.Transport = NewTransport(100)
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	user := parsed.User
	parsed.User = nil
	return &endpoint{parsed.String(), parsed.Host, user, options}, nil
}

// parseURL does not quote what it refuses, and not the words of net/url either: a password may be in them.
func parseURL(target string) (*url.URL, error) {
	parsed, err := url.Parse(target)
	switch {
	case err != nil:
		return nil, errors.New("not a URL (special characters of a user or password are written %XX)")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, errors.New("not an http or https URL")
	case parsed.Hostname() == "":
		return nil, errors.New("URL without a host")
	case parsed.Port() != "" && !isPort(parsed.Port()):
		return nil, errors.New("URL with a port that is not between 1 and 65535")
	case parsed.Fragment != "":
		return nil, errors.New("URL with a fragment, which is never sent (a # that is meant is written %23)")
	}
	return parsed, nil
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

func (e *endpoint) handle(ctx context.Context, job *worker.Job) (any, error) {
	body, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	late := fmt.Errorf("no complete answer within %s", e.options.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, e.options.Timeout, late)
	defer cancel()
	got, err := e.post(ctx, job, body)
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return e.judge(ctx, job, got)
	case cause == nil || cause == late:
		if cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("POST to %s: %w", e.host, err)
	default:
		return nil, cause
	}
}

// post returns the answer with what came of its body. But if it says that the job is done, half of it is none: the
// server may have died over the other half.
func (e *endpoint) post(ctx context.Context, job *worker.Job, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "procrastinate/"+worker.Version)
	// Sends nothing, and lets net/http send the request again if the server has just closed the connection that was
	// kept open. It is the same message, with the same webhook-id.
	request.Header["Idempotency-Key"] = nil
	if e.user != nil {
		password, _ := e.user.Password()
		request.SetBasicAuth(e.user.Username(), password)
	}
	e.sign(request.Header, job, body)
	response, err := e.options.Transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	got, err := read(response, e.options.MaxBody)
	if err != nil && got.isDone() {
		return answer{}, fmt.Errorf("%s, but the answer breaks off: %w", got.status(), err)
	}
	return got, nil
}

// sign adds the headers of the Standard Webhooks scheme; those that need no secret also if there is none.
func (e *endpoint) sign(header http.Header, job *worker.Job, body []byte) {
	id, at := messageID(job), strconv.FormatInt(time.Now().Unix(), 10)
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", at)
	if len(e.options.Secrets) > 0 {
		header.Set("Webhook-Signature", signatures(e.options.Secrets, id, at, body))
	}
}
