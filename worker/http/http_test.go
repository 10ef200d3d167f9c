package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/procrastinate-pg/procrastinate/worker"
)

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func secrets(t *testing.T, texts ...string) (all []Secret) {
	t.Helper()
	for _, text := range texts {
		secret, err := ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, secret)
	}
	return all
}

func testJob() *worker.Job {
	return &worker.Job{
		ID: 42, Task: "sum", Queue: "q", Args: []byte(`{"a":3,"b":"x y"}`), Attempt: 2, DeferredAt: time.Unix(1_700_000_000, 123_456_000),
	}
}

func serve(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

func handlerOf(t *testing.T, target string, options Options) worker.Handler {
	t.Helper()
	handler, err := Handler(target, options)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	target := strings.Replace(server.URL, "http://", "http://me:hunter%402@", 1) + "/hook/a%2Fb?token=x"
	result, err := handlerOf(t, target, Options{Secrets: secrets(t, oldSecret)})(t.Context(), testJob())
	if result != nil || err != nil {
		t.Fatalf("got %v, %v", result, err)
	}
	if got.Method != "POST" || got.RequestURI != "/hook/a%2Fb?token=x" {
		t.Errorf("got %s %s", got.Method, got.RequestURI)
	}
	if user, password, _ := got.BasicAuth(); user != "me" || password != "hunter@2" {
		t.Errorf("got user %q, password %q", user, password)
	}
	if want := asJSON(t, testJob()); string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	for _, name := range []string{"Authorization", "Webhook-Timestamp", "Webhook-Signature", "Accept-Encoding"} {
		if got.Header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
		got.Header.Del(name)
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"procrastinate/" + worker.Version}, "Content-Length": {fmt.Sprint(len(body))},
		"Webhook-Id": {messageID(testJob())},
	}
	if !reflect.DeepEqual(got.Header, want) {
		t.Errorf("got %v, want %v", got.Header, want)
	}
}

func TestSignatureSatisfiesTheStandard(t *testing.T) {
	var header http.Header
	var body []byte
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	send := func(texts ...string) {
		if _, err := handlerOf(t, server.URL, Options{Secrets: secrets(t, texts...)})(t.Context(), testJob()); err != nil {
			t.Fatal(err)
		}
	}
	fits := func(secret string, body []byte) bool {
		receiver, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return receiver.Verify(body, header) == nil
	}
	send(oldSecret)
	if !fits(oldSecret, body) || fits(newSecret, body) || fits(oldSecret, append(body, ' ')) {
		t.Errorf("one secret: %v", header)
	}
	send(oldSecret, newSecret)
	if !fits(oldSecret, body) || !fits(newSecret, body) {
		t.Errorf("two secrets: %v", header)
	}
	send()
	if header.Get("Webhook-Id") == "" || header.Get("Webhook-Signature") != "" {
		t.Errorf("no secret: %v", header)
	}
}

func TestMessageIDIsOfTheJobAndItsContent(t *testing.T) {
	id := messageID(testJob())
	if want := "job_42_"; !strings.HasPrefix(id, want) || len(id) != len(want)+12 {
		t.Errorf("got %s", id)
	}
	tests := []struct {
		name   string
		change func(*worker.Job)
		same   bool
	}{
		{"another attempt", func(j *worker.Job) { j.Attempt, j.ScheduledAt = 3, time.Now() }, true},
		{"another zone", func(j *worker.Job) { j.DeferredAt = j.DeferredAt.In(time.FixedZone("x", 3600)) }, true},
		{"another job", func(j *worker.Job) { j.ID = 43 }, false},
		{"replaced args", func(j *worker.Job) { j.Args = []byte(`{}`) }, false},
		{"another database", func(j *worker.Job) { j.DeferredAt = j.DeferredAt.Add(time.Microsecond) }, false},
	}
	for _, test := range tests {
		job := testJob()
		test.change(job)
		if got := messageID(job); (got == id) != test.same {
			t.Errorf("%s: got %s beside %s", test.name, got, id)
		}
	}
}

func TestSecrets(t *testing.T) {
	for text, want := range map[string]string{
		oldSecret: "", " " + oldSecret[6:] + "\n": "", "": "has 0 bytes", "whsec_c2hvcnQ=": "has 5 bytes, want 24", "whsec_hunter2!": "not base64",
	} {
		secret, err := ParseSecret(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("it quotes the secret: %v", err)
		}
		if got := fmt.Sprintf("%v %+v %#v", Options{Secrets: []Secret{secret}}, secret, secret); strings.Contains(got, "49") {
			t.Errorf("it prints the key: %s", got)
		}
	}
	if _, err := Handler("http://host/", Options{Secrets: []Secret{{}}}); err == nil {
		t.Error("the zero Secret signs")
	}
}

func TestStatusIsTheEnd(t *testing.T) {
	const failure, final, snooze = "*errors.errorString", "*worker.permanentError", "*worker.snoozeError"
	long := strings.Repeat("ü", maxText)
	tests := []struct {
		name                   string
		code                   int
		header                 string
		body                   string
		result, kind, wantText string
	}{
		{"done", 200, "", "", "null", "", ""},
		{"done, without a body", 204, "", "", "null", "", ""},
		{"taken", 202, "", "ok", "null", "", ""},
		{"JSON is the result", 201, "", " {\"n\": 8}\n", `{"n":8}`, "", ""},
		{"redirect", 307, "Location: https://me:hunter2@other/x", "see there", "", final, "307 Temporary Redirect to https://other/x (redirects are not followed): see there"},
		{"redirect to nowhere", 302, "", "", "", final, "302 Found"},
		{"not modified", 304, "", "", "", final, "304 Not Modified"},
		{"bad request", 400, "", "no such customer\n", "", final, "400 Bad Request: no such customer"},
		{"gone", 410, "", "", "", final, "410 Gone"},
		{"request timeout", 408, "", "", "", failure, "408 Request Timeout"},
		{"too early", 425, "", "", "", failure, "425 Too Early"},
		{"too many requests", 429, "", "slow down", "", failure, "429 Too Many Requests: slow down"},
		{"too many requests, for seconds", 429, "Retry-After: 17", "slow down", "", snooze, "snooze for 17s"},
		{"too many requests, until what is no time", 429, "Retry-After: soon", "", "", failure, "429 Too Many Requests"},
		{"not for a 400", 400, "Retry-After: 17", "", "", final, "400 Bad Request"},
		{"unavailable", 503, "", "", "", failure, "503 Service Unavailable"},
		{"unavailable, for seconds", 503, "Retry-After: 17", "", "", snooze, "snooze for 17s"},
		{"server error", 500, "", "boom", "", failure, "500 Internal Server Error: boom"},
		{"not for a 502", 502, "Retry-After: 17", "", "", failure, "502 Bad Gateway"},
		{"a status of nobody's", 599, "", "", "", failure, "599"},
		{"long text is cut at a character", 500, "", "a" + long, "", failure, "500 Internal Server Error: a" + long[:maxText-2] + "…"},
		{"no text, NUL", 500, "", "a\x00b", "", failure, "500 Internal Server Error"},
		{"no text, not UTF-8", 500, "", "\xff\xfe", "", failure, "500 Internal Server Error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if name, value, ok := strings.Cut(test.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(test.code)
				_, _ = io.WriteString(w, test.body)
			})
			result, err := handlerOf(t, server.URL, Options{})(t.Context(), testJob())
			if test.kind == "" {
				if got := asJSON(t, result); err != nil || got != test.result {
					t.Errorf("got %s, %v; want %s", got, err, test.result)
				}
			} else if fmt.Sprintf("%T", err) != test.kind || err.Error() != test.wantText {
				t.Errorf("got %T %v; want %s %s", err, err, test.kind, test.wantText)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		text, date string
		want       time.Duration
		asked      bool
	}{
		{"", "", 0, false},
		{"-5", "", 0, false},
		{"1.5", "", 0, false},
		{" 90 ", "", 90 * time.Second, true},
		{"0", "", time.Second, true},
		{"99999999999999999999999", "", 24 * time.Hour, true},
		{"Sun, 01 Mar 2026 12:01:30 GMT", "", 90 * time.Second, true},
		{"Sun, 01 Mar 2026 11:00:00 GMT", "", time.Second, true},
		{"Sun, 01 Mar 2026 12:01:30 GMT", "Sun, 01 Mar 2026 12:01:00 GMT", 30 * time.Second, true},
		{"Sat, 01 Mar 2042 12:00:00 GMT", "", 24 * time.Hour, true},
	}
	for _, test := range tests {
		header := http.Header{"Retry-After": {test.text}, "Date": {test.date}}
		if got, asked := retryAfter(header, now); got != test.want || asked != test.asked {
			t.Errorf("%q at %q: got %s, %t; want %s, %t", test.text, test.date, got, asked, test.want, test.asked)
		}
	}
}

func TestWhatIsNoResult(t *testing.T) {
	tests := []struct {
		name, kind, body, log string
	}{
		{"too long", "application/json", `"` + strings.Repeat("x", 2000) + `"`, "answer too long for a result"},
		{"said to be JSON", "application/problem+json; charset=utf-8", "{", "answer is not the JSON that it says it is"},
		{"text", "text/plain", "ok", "answer is not JSON"},
		{"nothing", "application/json", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.kind)
				_, _ = io.WriteString(w, test.body)
			})
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			handler := handlerOf(t, server.URL, Options{MaxBody: 1000, Logger: logger})
			log.Reset()
			result, err := handler(t.Context(), testJob())
			if result != nil || err != nil || !strings.Contains(log.String(), test.log) || (test.log == "") != (log.Len() == 0) {
				t.Errorf("got %v, %v, %q", result, err, log.String())
			}
		})
	}
}

// stalled answers with the status and the beginning of a body, or not at all, and then nothing until nobody waits.
func stalled(t *testing.T, code int, begun chan<- struct{}) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		if code != 0 {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
		}
		close(begun)
		<-r.Context().Done()
	})
}

func TestServerThatDoesNotEndItsAnswer(t *testing.T) {
	for _, test := range []struct {
		code int
		want string
	}{
		{0, "no complete answer within 50ms"},
		{200, "no complete answer within 50ms"},
		{500, "500 Internal Server Error: {"},
	} {
		server := stalled(t, test.code, make(chan struct{}))
		_, err := handlerOf(t, server.URL, Options{Timeout: 50 * time.Millisecond})(t.Context(), testJob())
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%d: got %v, want %s", test.code, err, test.want)
		}
	}
}

func TestCancelEndsTheRequestAndKeepsTheReason(t *testing.T) {
	for _, code := range []int{0, 200} {
		for _, cause := range []error{worker.ErrAborted, worker.ErrTimeout, worker.ErrShutdown} {
			ctx, cancel := context.WithCancelCause(t.Context())
			begun := make(chan struct{})
			server := stalled(t, code, begun)
			go func() {
				<-begun
				cancel(cause)
			}()
			if _, err := handlerOf(t, server.URL, Options{})(ctx, testJob()); err != cause {
				t.Errorf("%d: got %v, want %v itself", code, err, cause)
			}
		}
	}
}

func TestAnswerThatBreaksOffIsNone(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{}`)
	})
	_, err := handlerOf(t, server.URL, Options{})(t.Context(), testJob())
	if err == nil || !strings.HasSuffix(err.Error(), "200 OK, but the answer breaks off: unexpected EOF") {
		t.Errorf("got %v", err)
	}
}

func TestNoServerIsAFailure(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	_ = listener.Close()
	_, err = handlerOf(t, "http://me:hunter2@"+host+"/secret?token=hunter2", Options{})(t.Context(), testJob())
	want := fmt.Sprintf("POST to %[1]s: dial tcp %[1]s: connect: connection refused", host)
	if fmt.Sprint(err) != want || fmt.Sprintf("%T", err) != "*fmt.wrapError" {
		t.Errorf("got %T %v, want %s", err, err, want)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportSeesNoPasswordInTheURL(t *testing.T) {
	var seen string
	refuse := transportFunc(func(r *http.Request) (*http.Response, error) {
		seen = r.URL.String()
		return nil, errors.New("refused")
	})
	_, err := handlerOf(t, "http://me:hunter2@host/x", Options{Transport: refuse})(t.Context(), testJob())
	if fmt.Sprint(err) != "POST to host: refused" || seen != "http://host/x" {
		t.Errorf("got %v of %s", err, seen)
	}
}

func TestRefusedURLsAreNotQuoted(t *testing.T) {
	for target, want := range map[string]string{
		"http://me:hunter2%@host/":      "not a URL",
		"https://me:hunter2#x@host/":    "not a URL",
		"ftp://me:hunter2@host/":        "not an http or https URL",
		"//me:hunter2@host/":            "not an http or https URL",
		"https:me:hunter2@host":         "without a host",
		"https://me:hunter2@/x":         "without a host",
		"https://me:hunter2@:80/x":      "without a host",
		"http://me:hunter2@host:99999/": "with a port",
		"http://me:hunter2@host/#x":     "with a fragment",
	} {
		_, err := Handler(target, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
	}
}

func TestUnsignedIsSaidWithoutTheURL(t *testing.T) {
	var log bytes.Buffer
	options := Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	handlerOf(t, "https://me:hunter2@host/secret?token=hunter2", options)
	if got := log.String(); !strings.HasSuffix(got, "level=WARN msg=\"requests are not signed\" host=host\n") {
		t.Errorf("got %s", got)
	}
	log.Reset()
	options.Secrets = secrets(t, oldSecret)
	handlerOf(t, "https://host/", options)
	if log.Len() != 0 {
		t.Errorf("got %s", log.String())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var visits atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) })
		_, err := handlerOf(t, server.URL, Options{})(t.Context(), testJob())
		if err == nil || !strings.Contains(err.Error(), other.URL) {
			t.Errorf("%d: got %v", code, err)
		}
	}
	if got := visits.Load(); got != 0 {
		t.Errorf("%d requests came", got)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	const concurrency, rounds = 20, 5
	var opened atomic.Int32
	var together sync.WaitGroup // so that each round needs all connections at once
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(make([]byte, 100_000))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	options := Options{Transport: NewTransport(concurrency)}
	handlers := []worker.Handler{handlerOf(t, server.URL+"/works", options), handlerOf(t, server.URL+"/fails", options)}
	for range rounds {
		together.Add(concurrency)
		var all sync.WaitGroup
		for i := range concurrency {
			all.Go(func() { _, _ = handlers[i%2](t.Context(), testJob()) })
		}
		all.Wait()
	}
	if got := opened.Load(); got != concurrency {
		t.Errorf("%d connections were opened for %d handlers", got, concurrency)
	}
}

func TestConnectionThatWasJustClosedIsNoFailure(t *testing.T) {
	var requests atomic.Int32
	ids := make(chan string, 3)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ids <- r.Header.Get("Webhook-Id")
		if requests.Add(1) == 2 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	handler := handlerOf(t, server.URL, Options{})
	for range 2 {
		if _, err := handler(t.Context(), testJob()); err != nil {
			t.Fatal(err)
		}
	}
	if first, second, third := <-ids, <-ids, <-ids; first != second || second != third {
		t.Errorf("got %s, %s, %s", first, second, third)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "8") }))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	transport := NewTransport(1)
	_, err := handlerOf(t, server.URL, Options{Transport: transport})(t.Context(), testJob())
	if err == nil || !strings.Contains(err.Error(), "failed to verify certificate") {
		t.Errorf("a certificate of nobody's: got %v", err)
	}
	transport = NewTransport(1)
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	result, err := handlerOf(t, server.URL, Options{Transport: transport})(t.Context(), testJob())
	if got := asJSON(t, result); err != nil || got != "8" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestProxyIsUsedIfConfiguredOnly(t *testing.T) {
	if NewTransport(1).Proxy != nil {
		t.Error("a proxy may come from the environment")
	}
	var asked string
	proxy := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.RequestURI })
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport(1)
	transport.Proxy = http.ProxyURL(address)
	_, err = handlerOf(t, "http://no-such-host.invalid/x", Options{Transport: transport})(t.Context(), testJob())
	if err != nil || asked != "http://no-such-host.invalid/x" {
		t.Errorf("got %v, %s", err, asked)
	}
}

func TestContextThatEndedBeforeSendsNothing(t *testing.T) {
	var visits atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(worker.ErrShutdown)
	if _, err := handlerOf(t, server.URL, Options{})(ctx, testJob()); !errors.Is(err, worker.ErrShutdown) || visits.Load() != 0 {
		t.Errorf("got %v after %d requests", err, visits.Load())
	}
}
