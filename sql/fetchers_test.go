//go:build integration

package sql_test

import (
	"sync"
	"testing"
)

// Many that want one job each stand in each other's way at the front of a lane. None may go home with nothing, for its
// worker would then sleep.
func TestNoFetchComesBackEmptyBesideStartableJobs(t *testing.T) {
	for _, lock := range []string{"null", "i::text"} {
		db := install(t)
		db.do(`
			select procrastinate_defer_many(jsonb_agg(jsonb_build_object('task', 't', 'lock', ` + lock + `)))
			from generate_series(1, 1200) i`)
		var group sync.WaitGroup
		for range 10 {
			one := db.session()
			worker := one.worker()
			group.Go(func() {
				for range 100 {
					one.want(`1`, `select count(*) from procrastinate_fetch_jobs($1, 1)`, worker)
				}
			})
		}
		group.Wait()
		db.wantHealthy()
	}
}
