// graphile-worker for bench/peers, with the settings that are its best for
// no-op jobs on two cores.
import { readFileSync } from "node:fs";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { main } from "../node/adapter.mjs";

const manifest = new URL("node_modules/graphile-worker/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest));

const TASK = "noop";
const logger = new Logger(() => (level, message) => {
    if (level === "error" || level === "warning") console.error(message);
});
const newPool = (max) => new pg.Pool({ connectionString: process.env.DATABASE_URL, max });

// A worker that logs each success does little else.
const settings = { logger, concurrentJobs: 24 };

// 2,000 jobs a fetch, and all completions of one turn of the event loop in
// one statement.
const throughput = {
    ...settings,
    localQueue: { size: 2000 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
};

async function connect(max) {
    const pool = newPool(max);
    const utils = await makeWorkerUtils({ pgPool: pool, preset: { worker: settings } });
    return {
        insert: (args) => utils.addJob(TASK, args),
        insertMany: (list) =>
            utils.addJobs(list.map((payload) => ({ identifier: TASK, payload }))),
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

async function work(handler, latency) {
    const pool = newPool(10);
    await Promise.all(Array.from({ length: 10 }, () => pool.query("select 1")));
    let runner;
    return {
        start: async () => {
            runner = await run({
                pgPool: pool,
                preset: { worker: latency ? settings : throughput },
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

await main({
    name: "graphile-worker",
    version,
    install: () => runMigrations({ connectionString: process.env.DATABASE_URL, preset: { worker: settings } }),
    connect,
    work,
});
