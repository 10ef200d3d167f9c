//go:build integration

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

func TestReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
		t.Error("README.md shows another program than main.go")
	}
}

func TestThreeTasks(t *testing.T) {
	schema := testdb.Installed(t)
	conn := testdb.Connect(t, schema)
	separator := "?"
	if strings.Contains(testdb.URL(t), "?") {
		separator = "&"
	}
	t.Setenv("DATABASE_URL", testdb.URL(t)+separator+"search_path="+schema)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer pages.Close()
	_, err := conn.Exec(t.Context(), `
		create table transfers (origin text, target text, amount integer);
		select procrastinate_define_task('probe', max_attempts => 2);
		select procrastinate_defer('greet', '{"name": "you"}');
		select procrastinate_defer('probe', jsonb_build_object('url', '`+pages.URL+`/'));
		select procrastinate_defer('probe', jsonb_build_object('url', '`+pages.URL+`/busy'));
		select procrastinate_defer('probe', jsonb_build_object('url', '`+pages.URL+`/down'));
		select procrastinate_defer('probe', '{"url": ":"}');
		select procrastinate_defer('transfer', '{"from": "a", "to": "b", "amount": 3}');`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	const want = `greet succeeded "hello you", probe succeeded 200, probe todo, probe todo 503, probe failed, transfer succeeded, 1 transfer of 3`
	got := ""
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); got != want && time.Now().Before(deadline); <-ticker.C {
		err := conn.QueryRow(t.Context(), `
			select (select string_agg(concat_ws(' ', j.task_name, j.status, j.result, case when j.status = 'todo' then substring(j.error from '503') end), ', ' order by j.id)
			        from procrastinate_jobs j)
			    || (select format(', %s transfer of %s', count(*), sum(t.amount)) from transfers t)`).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
