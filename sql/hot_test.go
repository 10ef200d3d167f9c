//go:build integration

package sql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Ten thousand jobs are started and finished, one by one and in batches, each call a transaction of its own. An update that is
// not HOT costs an entry in every index of the table.
//
// A transaction is open all the while, so what is replaced stays, as it does within a batch: a page must have room for its jobs
// three times. (Tests of other packages that run beside this one have open transactions too, but not always.) Results of some
// size need more room than that, and then less is HOT.
func TestStartsAndFinishesAreHOT(t *testing.T) {
	for _, tt := range []struct{ size, percent int }{{0, 90}, {200, 60}} {
		t.Run(fmt.Sprintf("results of %d bytes", tt.size), func(t *testing.T) {
			db := install(t)
			open := db.session()
			open.do(`begin`)
			open.do(`select pg_current_xact_id()`)
			db.do(`select count(*) from procrastinate_defer_many((select jsonb_agg('{"task": "t"}'::jsonb) from generate_series(1, 10000)))`)
			result := `"` + strings.Repeat("r", tt.size) + `"`
			for _, part := range []struct{ calls, batch int }{{1000, 1}, {200, 10}, {70, 100}} {
				for range part.calls {
					ids := db.value(fetch, db.worker(), part.batch)
					db.do(`select f.* from (select ('{' || $2::text || '}')::bigint[]) i(ids)
						cross join procrastinate_finish_jobs($1, i.ids, array(select $3::jsonb from unnest(i.ids))) f`, db.id, ids, result)
				}
			}
			db.want(`succeeded 10000`, statuses)
			updates, hot := db.updates(20000)
			if hot*100 < updates*tt.percent {
				t.Errorf("%d of %d updates are HOT, want %d of 100", hot, updates, tt.percent)
			}
		})
	}
}

// updates returns how many there were of jobs, and how many of those were HOT. They are counted some time after they are done.
func (s *session) updates(atLeast int) (updates, hot int) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for updates < atLeast {
		if time.Now().After(deadline) {
			s.t.Fatalf("got %d updates, want %d", updates, atLeast)
		}
		s.do(`do $$ begin if current_setting('server_version_num')::integer >= 150000 then perform pg_stat_force_next_flush(); end if; end $$`)
		err := s.conn.QueryRow(context.Background(),
			`select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relid = 'procrastinate_jobs'::regclass`).Scan(&updates, &hot)
		if err != nil {
			s.t.Fatalf("count the updates: %v", err)
		}
	}
	return updates, hot
}
