package main

import (
	"io"
	"maps"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/exec"
	"github.com/procrastinate-pg/procrastinate/worker/http"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func writeFile(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHandlersParse(t *testing.T) {
	lines := []string{" a = exec:sh -c 'x=y' ", "b=exec:" + os.Args[0], "", "c=https://me:hunter2@host/?x=y", "d=http://[::1]:80/", `e=sql:"App".f`}
	got, err := parseHandlers(lines, exec.Options{}, http.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if tasks := slices.Sorted(maps.Keys(got.byTask)); strings.Join(tasks, "") != "abcde" || !slices.Equal(got.functions, []string{`"App".f`}) {
		t.Errorf("got tasks %v, functions %q", tasks, got.functions)
	}
}

func TestFaultsOfHandlersDoNotTellSecrets(t *testing.T) {
	empty := writeFile(t, "\n")
	tests := []struct {
		name    string
		environ []string
		args    []string
		want    []string
	}{
		{
			"URLs", []string{"PROCRASTINATE_HANDLERS=a=https://me:hunter2@host:0/\nb=ftp://me:hunter2@host/\nhttps://me:hunter2@host/?x=y\nd=me:hunter2@host"},
			nil,
			[]string{`"a=https:…": URL with a port`, `"b=ftp:…": unknown kind "ftp"; exec, http, https and sql are known`, `"https:…": unknown kind`, `"d=me:…": unknown kind "me"`},
		},
		{"function", nil, []string{"--handler", "a=sql:f()", "--handler", "b=sql:"}, []string{`"a=sql:f()": "f()" is not the name`, `"b=sql:": "" is not the name`}},
		{
			"secret and proxy", []string{"PROCRASTINATE_HTTP_SECRET=" + testSecret + " hunter2!", "PROCRASTINATE_HTTP_PROXY=me:hunter2@host"}, []string{"--handler", "a=http://host/"},
			[]string{"PROCRASTINATE_HTTP_SECRET: secret is not base64", "PROCRASTINATE_HTTP_PROXY is not the URL"},
		},
		{"time", []string{"PROCRASTINATE_HTTP_TIMEOUT=5"}, nil, []string{`invalid value "5" for PROCRASTINATE_HTTP_TIMEOUT: want a span`, "no handler"}},
		{"no such file", nil, []string{"--handler", "a=http://host/", "--http-secret-file", empty + "-not"}, []string{"read secrets: open " + empty + "-not"}},
		{"empty file", nil, []string{"--handler", "a=http://host/", "--http-secret-file", empty}, []string{empty + " holds no secret"}},
		{"variable and file", []string{"PROCRASTINATE_HTTP_SECRET=" + testSecret}, []string{"--handler", "a=http://host/", "--http-secret-file", empty}, []string{"one of them"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, errs := runCommand(t, test.environ, append([]string{"worker"}, test.args...)...)
			if code != 2 || strings.Contains(errs, "hunter2") || strings.Contains(errs, "not signed") {
				t.Errorf("got exit code %d, want 2, no hunter2 and nothing about signatures in:\n%s", code, errs)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in:\n%s", want, errs)
				}
			}
		})
	}
}

func TestSecretsAndProxyReachTheServer(t *testing.T) {
	for name, environ := range map[string][]string{
		"variable": {"PROCRASTINATE_HTTP_SECRET=" + testSecret + " " + testSecret},
		"file":     {"PROCRASTINATE_HTTP_SECRET_FILE=" + writeFile(t, testSecret+"\n"+testSecret+"\n")},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, signatures string
			proxy := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				asked, signatures = r.RequestURI, r.Header.Get("Webhook-Signature")
				_, _ = io.WriteString(w, "8")
			}))
			defer proxy.Close()
			mine := readWorkerEnv(append(environ, "PROCRASTINATE_HTTP_PROXY="+proxy.URL))
			options, err := mine.http.options(1, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseHandlers([]string{"a=http://no-such-host.invalid/x"}, exec.Options{}, options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := got.byTask["a"](t.Context(), &worker.Job{ID: 1, Task: "a"}); err != nil {
				t.Fatal(err)
			}
			if asked != "http://no-such-host.invalid/x" || strings.Count(signatures, "v1,") != 2 {
				t.Errorf("got %s, %q", asked, signatures)
			}
		})
	}
}

func TestHandlersOfAFileComeBesideThoseOfFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "handlers")
	if err := os.WriteFile(file, []byte("# ours\n\nb=exec:sh\n  c=exec:sh -c 'x # y'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ownOptions{Handlers: []string{"a=exec:sh"}, HandlerFile: file}.handlers()
	if want := []string{"a=exec:sh", "b=exec:sh", "c=exec:sh -c 'x # y'"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
