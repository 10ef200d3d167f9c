// pg-boss for bench/peers, with the settings that are its best for no-op jobs
// on two cores.
import { readFileSync } from "node:fs";
import { PgBoss } from "pg-boss";
import { main } from "../node/adapter.mjs";

const manifest = new URL("node_modules/pg-boss/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest));

const QUEUE = "noop";

async function start(options) {
    const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, schedule: false, ...options });
    boss.on("error", console.error);
    await boss.start();
    return boss;
}

async function install() {
    const boss = await start();
    await boss.createQueue(QUEUE);
    await boss.stop();
}

async function connect(max) {
    const boss = await start({ max, supervise: false, useListenNotify: true });
    const left = `select count(*)::int as left from pgboss.job where name = $1 and state <> 'completed'`;
    return {
        insert: (args) => boss.send(QUEUE, args),
        insertMany: (list) => boss.insert(QUEUE, list.map((data) => ({ data }))),
        left: async () => (await boss.getDb().executeSql(left, [QUEUE])).rows[0].left,
        end: () => boss.stop(),
    };
}

// Two workers, so that one runs what it fetched while PostgreSQL works for the
// other. Each fetches again at once when it had a full batch.
const throughput = {
    batchSize: 2000,
    localConcurrency: 2,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
};

// Outcomes are settled job by job, as every other system does, in one statement a batch.
const perJobResults = true;

async function work(handler, latency) {
    const boss = await start({ useListenNotify: latency });
    if (latency) {
        await boss.updateQueue(QUEUE, { notify: true }); // off by default
    }
    return {
        start: () =>
            boss.work(QUEUE, { ...throughput, perJobResults }, async (jobs) =>
                jobs.map(({ id, data }) => {
                    handler(data);
                    return { id, status: "completed" };
                }),
            ),
        stop: () => boss.stop(),
    };
}

await main({ name: "pg-boss", version, install, connect, work });
