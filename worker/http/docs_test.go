package http

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// snippet is the one block of docs/webhooks.md in the language.
func snippet(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```\n").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/webhooks.md has %d blocks of %s, want 1", len(blocks), language)
	}
	return blocks[0][1] + "\n"
}

// verifying prints yes or no for each request on stdin, by the snippet above it.
var verifying = map[string]string{
	"python": `
import json, sys
for r in json.load(sys.stdin):
    print("yes" if verify(r["secret"], r["headers"], r["body"].encode()) else "no")
`,
	"go": `
func main() {
	var requests []struct {
		Secret, Body string
		Headers      map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	for _, r := range requests {
		header := http.Header{}
		for name, value := range r.Headers {
			header.Set(name, value)
		}
		fmt.Println(map[bool]string{true: "yes", false: "no"}[verify(r.Secret, header, []byte(r.Body)) == nil])
	}
}
`,
}

type request struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func TestVerifiersOfTheDocument(t *testing.T) {
	sent := request{Secret: oldSecret, Headers: map[string]string{}}
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent.Body = string(body)
		for name := range r.Header {
			sent.Headers[name] = r.Header.Get(name)
		}
	})
	job := testJob()
	job.Args = []byte(`{"to": "Zoë 😀", "html": "<b>&\n"}`)
	if _, err := handlerOf(t, server.URL, Options{Secrets: secrets(t, newSecret, oldSecret)})(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*request)
		want   string
	}{
		{"as it came", func(*request) {}, "yes"},
		{"the other secret", func(r *request) { r.Secret = newSecret }, "yes"},
		{"a secret of nobody's", func(r *request) { r.Secret = "whsec_" + strings.Repeat("A", 32) }, "no"},
		{"another body", func(r *request) { r.Body += " " }, "no"},
		{"another id", func(r *request) { r.Headers["Webhook-Id"] += "1" }, "no"},
		{"old", func(r *request) { r.Headers["Webhook-Timestamp"] = fmt.Sprint(time.Now().Unix() - 301) }, "no"},
		{"another time", func(r *request) { r.Headers["Webhook-Timestamp"] = fmt.Sprint(time.Now().Unix() + 60) }, "no"},
		{"no time", func(r *request) { delete(r.Headers, "Webhook-Timestamp") }, "no"},
		{"not signed", func(r *request) { delete(r.Headers, "Webhook-Signature") }, "no"},
		{"another version", func(r *request) {
			r.Headers["Webhook-Signature"] = strings.ReplaceAll(r.Headers["Webhook-Signature"], "v1,", "v2,")
		}, "no"},
	}
	var requests []request
	for _, test := range tests {
		changed := sent
		changed.Headers = map[string]string{}
		for name, value := range sent.Headers {
			changed.Headers[name] = value
		}
		test.change(&changed)
		requests = append(requests, changed)
	}
	for language, program := range verifying {
		t.Run(language, func(t *testing.T) {
			answers := strings.Fields(runVerifier(t, language, program, requests))
			if len(answers) != len(tests) {
				t.Fatalf("got %v, want an answer to each of %d requests", answers, len(tests))
			}
			for i, test := range tests {
				if answers[i] != test.want {
					t.Errorf("%s: got %s, want %s", test.name, answers[i], test.want)
				}
			}
		})
	}
}

func runVerifier(t *testing.T, language, program string, requests []request) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "verify."+map[string]string{"python": "py", "go": "go"}[language])
	command := exec.CommandContext(ctx, "go", "run", file)
	text := snippet(t, language) + program
	switch language {
	case "python":
		path, err := exec.LookPath("python3")
		if err != nil {
			t.Skip("there is no python3")
		}
		command = exec.CommandContext(ctx, path, file)
	case "go":
		text = "package main\n" + goImports + text
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = strings.NewReader(string(input))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

const goImports = `
import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)
`

// The receiver of make demo is the document's too.
func TestReceiverVerifiesByTheDocument(t *testing.T) {
	source, err := os.ReadFile("../../examples/demo/receiver/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "\n"+snippet(t, "go")) {
		t.Error("examples/demo/receiver/main.go has another verify than docs/webhooks.md")
	}
}

func TestRequestOfTheDocument(t *testing.T) {
	at := time.Date(2025, 11, 22, 18, 40, 0, 0, time.UTC)
	job := &worker.Job{ID: 42, Task: "resize", Queue: "default", Args: []byte(`{"path": "a.png"}`), Attempt: 1, DeferredAt: at}
	id, body := messageID(job), asJSON(t, job)
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), ",\n \"timeout\"", `,"timeout"`)
	for _, want := range []string{
		"Webhook-Id: " + id + "\n", fmt.Sprintf("Webhook-Timestamp: %d\n", at.Unix()), body,
		"Webhook-Signature: " + signatures(secrets(t, oldSecret), id, fmt.Sprint(at.Unix()), []byte(body)) + "\n",
		"User-Agent: procrastinate/" + worker.Version + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/webhooks.md has no %q", want)
		}
	}
}
