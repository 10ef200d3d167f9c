// What the adapters in node have in common: the protocol that bench/peers
// speaks with every system, in JSON objects, one a line, on stdout.
import { fstatSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const seconds = (since) => (performance.now() - since) / 1000;

// Synchronous: what was said is said, whatever comes next.
export const say = (line) => writeSync(1, JSON.stringify(line) + "\n");

// Date.now() has milliseconds, and performance.timeOrigin is not the wall
// clock of now. So the clock of performance.now(), which runs evenly, is set
// by the moments at which Date.now() changes: a moment is only ever seen too
// late, hence the greatest difference of many is the right one.
function wallClock() {
    let ahead = -Infinity;
    for (let edge = 0; edge < 20; edge++) {
        const before = Date.now();
        let now;
        while ((now = Date.now()) === before);
        ahead = Math.max(ahead, now - performance.now());
    }
    return () => Math.round((ahead + performance.now()) * 1000);
}

// Runs the command of the command line. Methods of system:
//
//   version         what is measured
//   connect(n)      sets up at most n connections, and resolves to an object of
//                   insert(args), insertMany(list of args), left(), end()
//   install()       creates the schema
//   work(handler, latency)
//                   sets up a worker that calls handler(args) for each job, and
//                   resolves to { start(), stop() }
export async function main(system) {
    const [command, ...args] = process.argv.slice(2);
    if (command !== "work" && fstatSync(0).isFIFO()) {
        // The starter's end closes it, which ends us.
        process.stdin.resume().once("end", () => process.exit(1));
    }
    await { install, insert, defer, work, send, left }[command](system, ...args);
    process.exit(0);
}

async function install(system) {
    await system.install();
    say({ system: system.name, version: system.version, runtime: `node ${process.version}` });
}

async function insert(system, n) {
    const jobs = Number(n);
    const db = await system.connect(1);
    await db.left(); // connected, before the clock runs
    const since = performance.now();
    for (let first = 0; first < jobs; first += 1000) {
        const count = Math.min(1000, jobs - first);
        await db.insertMany(Array.from({ length: count }, (_, i) => ({ n: first + i })));
    }
    say({ jobs, seconds: seconds(since) });
    await db.end();
}

async function defer(system, span, conns) {
    const db = await system.connect(Number(conns));
    const all = Array.from({ length: Number(conns) });
    await Promise.all(all.map(() => db.left()));
    let jobs = 0;
    const since = performance.now();
    await Promise.all(
        all.map(async () => {
            while (seconds(since) < Number(span)) {
                await db.insert({ n: jobs++ });
            }
        }),
    );
    say({ jobs, seconds: seconds(since) });
    await db.end();
}

async function send(system, n, gap) {
    const now = wallClock();
    const db = await system.connect(1);
    await db.left();
    for (let i = 0; i < Number(n); i++) {
        await sleep((0.5 + Math.random()) * Number(gap));
        await db.insert({ n: i });
        say({ n: i, at: now() });
    }
    await db.end();
}

async function left(system) {
    const db = await system.connect(1);
    say({ left: await db.left() });
    await db.end();
}

async function work(system, mode) {
    const now = wallClock();
    let done = 0;
    let told = 0;
    const count = () => void done++;
    const time = ({ n }) => say({ n, at: now() });
    const tell = () => done !== told && say({ done: (told = done) });

    const worker = await system.work(mode === "latency" ? time : count, mode === "latency");
    say({ ready: true });
    let started = false;
    for await (const line of createInterface({ input: process.stdin })) {
        if (line === "go" && !started) {
            started = true;
            await worker.start();
            setInterval(tell, 50);
        } else if (line === "stop") {
            break;
        }
    }
    if (started) {
        await worker.stop();
    }
    tell();
}
