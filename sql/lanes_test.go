//go:build integration

package sql_test

import (
	"context"
	"encoding/json"
	"testing"
)

// Ten thousand queues, tasks and priorities come and go within ten months. A lane costs every fetch a look, so they must
// not pile up; what a fetch reads tells that better than a clock.
func TestLanesThatCameAndWentCostAFetchNothing(t *testing.T) {
	db := install(t)
	worker := db.registers(`select procrastinate_register_worker('w', stalled_after => '1 day')`)
	fresh := db.pagesOfAFetch(worker)

	for month := range 10 {
		db.do(`
			select procrastinate_defer_many(jsonb_agg(jsonb_build_object(
				'task', 't' || i % 40, 'queue', format('month %s customer %s', $1::integer, i / 2), 'priority', i % 5)))
			from generate_series(1, 1000) i`, month)
		db.drain(worker)
		db.aMonthLater()
	}
	db.do(`vacuum analyze`)
	db.want(`10000`, `select count(*) from procrastinate_lanes l where l.queue_name like 'month%'`)
	db.want(`0`, `select count(*) from procrastinate_lanes l where l.queue_name like 'month%' and l.state <> 'parked'`)
	if aged := db.pagesOfAFetch(worker); aged > fresh*5/4 {
		t.Errorf("a fetch reads %d pages, %d when there was one lane", aged, fresh)
	}

	// one that comes back
	db.do(`select procrastinate_defer('t1', queue => 'month 3 customer 0', priority => 1)`)
	db.want(`1`, `select count(*) from procrastinate_fetch_jobs($1, 9)`, worker)
	db.want(`open`, `select l.state from procrastinate_lanes l where l.queue_name = 'month 3 customer 0'`)
	db.wantHealthy()
}

// drain runs all jobs that wait.
func (s *session) drain(worker int64) {
	s.t.Helper()
	for s.value(`select count(*) from procrastinate_jobs j where j.status = 'todo'`) != "0" {
		s.do(`select count(*) from procrastinate_finish_jobs($1, array(select f.id from procrastinate_fetch_jobs($1, 1000) f))`, worker)
	}
}

// aMonthLater makes all lanes and floors a month older, and lets the clockwork tidy: close, note who may still write, park.
func (s *session) aMonthLater() {
	s.t.Helper()
	s.do(`update procrastinate_lanes l set opened_at = l.opened_at - interval '1 month' where l.state <> 'parked'`)
	s.do(`update procrastinate_floors f set at = f.at - interval '1 month'`)
	for range 2 {
		s.do(park)
	}
	s.becomes(`true`, `select coalesce(bool_and(l.settled_xid < pg_snapshot_xmin(pg_current_snapshot())), true) from procrastinate_lanes l where l.state = 'closed'`)
	s.do(`update procrastinate_ticks t set tidied_at = now() - interval '1 h'`)
	s.do(`select procrastinate_tick()`)
}

// pagesOfAFetch is what a fetch of ten of a hundred jobs reads.
func (s *session) pagesOfAFetch(worker int64) (pages int) {
	s.t.Helper()
	s.do(`select procrastinate_defer_many(jsonb_agg(jsonb_build_object('task', 't', 'queue', 'stays'))) from generate_series(1, 100)`)
	s.do(`vacuum analyze`)
	for range 3 { // the last one finds all plans and catalogs at hand
		var plan []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		text := s.explain(`select * from procrastinate_fetch_jobs($1, 10)`, worker)
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		pages = plan[0].Plan.Hit + plan[0].Plan.Read
	}
	s.drain(worker)
	s.do(`select count(*) from procrastinate_finish_jobs($1, array(select j.id from procrastinate_jobs j where j.status = 'doing'))`, worker)
	return pages
}

func (s *session) explain(sql string, args ...any) (plan string) {
	s.t.Helper()
	err := s.conn.QueryRow(context.Background(), `explain (analyze, buffers, format json) `+sql, args...).Scan(&plan)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return plan
}
