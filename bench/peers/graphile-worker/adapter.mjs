// graphile-worker for bench/peers, with the settings that are its best for
// no-op jobs on two cores.
import { readFileSync } from "node:fs";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { main } from "../node/adapter.mjs";

const manifest = new URL("node_modules/graphile-worker/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest));

const TASK = "noop";

// The file run turns the line for each success off, too.
const logger = new Logger(() => (level, message) => {
    if (level === "error" || level === "warning") console.error(message);
});

// What a worker that runs a job when it comes is best left at: without a local
// queue, the worker that is notified fetches.
const latency = { logger, concurrentJobs: 24, maxPoolSize: 24 };

// 2,000 jobs a fetch, and all completions of one turn of the event loop in
// one statement.
const throughput = {
    ...latency,
    localQueue: { size: 2000 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
};

// The function behind addJobs(), which would fetch and parse each new row.
const ADD_JOBS = `select count(*) from graphile_worker.add_jobs(array(
    select json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`;

function newPool(max) {
    const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max });
    pool.on("error", console.error);
    pool.on("connect", (client) => client.on("error", console.error));
    return pool;
}

async function connect(max) {
    const pool = newPool(max);
    const utils = await makeWorkerUtils({ pgPool: pool, preset: { worker: { logger } } });
    return {
        insert: (args) => utils.addJob(TASK, args),
        insertMany: (list) => {
            const specs = list.map((payload) => ({ identifier: TASK, payload }));
            return pool.query({ name: "add_jobs", text: ADD_JOBS, values: [JSON.stringify(specs)] });
        },
        left: async () => {
            const { rows } = await pool.query(
                "select count(*)::int as left from graphile_worker._private_jobs",
            );
            return rows[0].left;
        },
        end: async () => {
            await utils.release();
            await pool.end();
        },
    };
}

async function work(handler, forLatency) {
    const worker = forLatency ? latency : throughput;
    const pool = newPool(worker.maxPoolSize);
    await Promise.all(Array.from({ length: worker.maxPoolSize }, () => pool.query("select 1")));
    let runner;
    return {
        start: async () => {
            runner = await run({
                pgPool: pool,
                preset: { worker },
                noHandleSignals: true,
                taskList: { [TASK]: handler },
            });
        },
        stop: async () => {
            await runner.stop();
            await pool.end();
        },
    };
}

const install = () =>
    runMigrations({ connectionString: process.env.DATABASE_URL, preset: { worker: { logger } } });

await main({ name: "graphile-worker", version, install, connect, work });
