//go:build integration

package sql_test

import "testing"

const explain = `select string_agg(concat_ws(' ', e.reason, e.detail ->> 'pid'), ',') from procrastinate_explain_job($1) e`

// Whoever has the row keeps the job waiting; he is named, and not waited for.
func TestExplainNamesTheOpenTransaction(t *testing.T) {
	race{
		run: func(db *session) {
			one := db.session()
			db.do(`select count(procrastinate_defer('t')) from generate_series(1, 2)`)
			db.fetches(1, `1`)
			db.want(`running`, explain, 1)
			db.want(`ready`, explain, 2)
			one.do(`begin`)
			one.do(`savepoint inner_one`)
			one.do(`select procrastinate_cancel_job(1, abort => true)`)
			one.do(`select procrastinate_cancel_job(2)`)
			pid := one.value(`select pg_backend_pid()`)
			db.want(`running,busy `+pid, explain, 1)
			db.want(`busy `+pid, explain, 2)
			one.do(`rollback`)
			db.want(`running`, explain, 1)
			db.want(`ready`, explain, 2)
		},
		guards: []guard{
			without("a look at who has the row", "explain_job.sql", "l.transactionid = v_xid", "false"),
		},
	}.test(t)
}

func TestExplainDoesNotWaitForRepair(t *testing.T) {
	db := install(t)
	one := db.session()
	db.do(`select procrastinate_defer('t')`)
	db.worker()
	one.do(`begin`)
	one.do(`select procrastinate_repair()`)
	db.want(`ready`, explain, 1)
	one.do(`rollback`)
}
