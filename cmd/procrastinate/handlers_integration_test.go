//go:build integration

package main

import (
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

func TestServersAndFunctionsAreHandlers(t *testing.T) {
	schema := testdb.Installed(t)
	conn := testdb.Connect(t, schema)
	_, err := conn.Exec(t.Context(), `
		create table bill (customer text);
		create function bill(args jsonb) returns bigint language plpgsql as $$
		begin
			insert into bill values (args->>'customer');
			if args->>'customer' = 'nobody' then raise 'no such customer'; end if;
			return (select count(*) from bill);
		end $$;
		alter function bill set search_path from current;
		select procrastinate_defer('post', '{"n": 1}'), procrastinate_defer('post', '{"n": 2}');
		select procrastinate_defer('bill', '{"customer": "Ann"}'), procrastinate_defer('bill', '{"customer": "nobody"}');`)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"args":{"n":2}`) {
			w.WriteHeader(nethttp.StatusGone)
		}
		_, _ = io.WriteString(w, `"`+r.URL.Path+`"`)
	}))
	defer server.Close()
	environ := append(os.Environ(), "PROCRASTINATE_SCHEMA="+schema, "PROCRASTINATE_HTTP_SECRET="+testSecret)
	code, _, errs := runCommand(t, environ, "worker", "--one-shot", "--handler", "post="+server.URL+"/x?token=y", "--handler", "bill=sql:"+schema+".bill")
	if code != 0 || strings.Contains(errs, "token") {
		t.Fatalf("got %d, %s", code, errs)
	}
	rows, err := conn.Query(t.Context(), `
		select concat_ws(' ', j.task_name, j.status, j.result, split_part(j.error, E'\n', 1)) from procrastinate_jobs j
		union all select 'customer ' || b.customer from bill b order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	want := `bill failed no such customer (SQLSTATE P0001); bill succeeded 1; customer Ann; post failed 410 Gone: "/x"; post succeeded "/x"`
	if err != nil || strings.Join(got, "; ") != want {
		t.Errorf("got %q, %v; want %q", strings.Join(got, "; "), err, want)
	}
}

func TestFunctionsMustBeThere(t *testing.T) {
	environ := append(os.Environ(), "PROCRASTINATE_SCHEMA="+testdb.Installed(t))
	code, _, errs := runCommand(t, environ, "worker", "--handler", "a=sql:no_such.Bill", "--handler", "b=sql:pg_catalog.lower")
	for _, want := range []string{`"no_such"."bill"(jsonb) does not exist`, `"pg_catalog"."lower"(jsonb) does not exist`} {
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("got %d, want 1 and %s in:\n%s", code, want, errs)
		}
	}
}

func TestFunctionsCannotBeLookedForWithoutADatabase(t *testing.T) {
	environ := append(os.Environ(), "DATABASE_URL=postgres://x@127.0.0.1:1/x")
	code, _, errs := runCommand(t, environ, "worker", "--handler", "a=sql:f")
	if code != 1 || !strings.Contains(errs, "check functions") {
		t.Errorf("got %d, %s", code, errs)
	}
}
