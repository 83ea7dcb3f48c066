// The yardstick: what the same machine in the same minutes gives to the barest durable path (bare-node.ts), at the loads
// of `direct`, `direct-slow` and `across-5000`. A figure of the fabric says more as a multiple of it than alone.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { openPool } from '@weft/runtime/sql.ts';
import { WebSocket } from 'ws';
import { bareHeadBytes, bareSchema, bareTable } from './bare-frames.ts';
import type { BenchServer } from './fabric.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { paced, pause } from './pace.ts';
import type { ScenarioReport } from './report.ts';
import type { Figure, Sizes } from './scenarios.ts';
import { cpuMs, difference } from './server-cost.ts';

export interface BarePath {
  readonly database: string;
  /** The processes of that database. */
  readonly servers: () => readonly BenchServer[];
  readonly sizes: Sizes;
}

/** What one load saw. */
interface Run {
  readonly perSecond: number;
  readonly cpuUsEach: number;
  readonly latency: Latency;
}

const pairs = 100;
const window = 20;

export async function barePath({ database, servers, sizes }: BarePath): Promise<ScenarioReport> {
  const pool = openPool(database, 1, { name: 'weft-bare' });
  try {
    await pool.query(`drop schema if exists ${bareSchema} cascade`);
    await pool.query(`create schema ${bareSchema}`);
    await pool.query(
      `create table ${bareTable} (log_id bigint, seq bigint, client_entry_id bigint unique, body bytea, primary key (log_id, seq))`,
    );
    using node = await BareNode.start(database);
    const around = { sizes, servers: () => [...servers(), { name: 'bare', pid: node.pid }] };
    const slow = await load(node.port, around, 100);
    const middling = await load(node.port, around, 5_000 * sizes.scale);
    const closed = await load(node.port, around);
    return {
      name: 'bare',
      title: 'yardstick: a socket, one insert, a push and nothing else, on this machine (no bound)',
      figures: figures({ slow, middling, closed }),
      wrong: [slow, middling, closed].some(({ perSecond }) => perSecond === 0) ? ['nothing was done in the measured time'] : [],
      notes: [],
    };
  } finally {
    await pool.query(`drop schema if exists ${bareSchema} cascade`);
    await pool.end();
  }
}

const figures = ({ slow, middling, closed }: Record<'slow' | 'middling' | 'closed', Run>): Figure[] => [
  { name: 'throughput', value: closed.perSecond, unit: 'messages/s', better: 'more' },
  { name: 'server CPU each', value: closed.cpuUsEach, unit: 'µs', better: 'less' },
  { name: 'at 5,000/s p95', value: middling.latency.quantile(0.95), unit: 'ms', better: 'less' },
  { name: 'at 5,000/s CPU', value: middling.cpuUsEach, unit: 'µs', better: 'less' },
  { name: 'at 100/s p50', value: slow.latency.quantile(0.5), unit: 'ms', better: 'less' },
  { name: 'at 100/s p99', value: slow.latency.quantile(0.99), unit: 'ms', better: 'less' },
  { name: 'at 100/s CPU', value: slow.cpuUsEach, unit: 'µs', better: 'less' },
];

class BareNode implements Disposable {
  readonly port: number;
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.port = port;
  }

  static async start(database: string): Promise<BareNode> {
    const child = fork(fileURLToPath(new URL('bare-node.ts', import.meta.url)), [database], { execArgv: [] });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the bare node ended before it listened')));
    ended.catch(() => undefined);
    const [{ port }] = (await Promise.race([once(child, 'message'), ended])) as [{ port: number }];
    return new BareNode(child, port);
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

interface Around {
  readonly sizes: Sizes;
  readonly servers: () => readonly BenchServer[];
}

/** An open loop of `perSecond` over all pairs in turn; without it a closed one of `window` a pair. */
async function load(port: number, { sizes, servers }: Around, perSecond?: number): Promise<Run> {
  const count = Math.max(2, Math.round(pairs * sizes.scale));
  const open = (side: string) => Promise.all(Array.from({ length: count }, (_, pair) => connected(port, `${side}/${pair}`)));
  const [writers, readers] = [await open('writer'), await open('reader')];
  let stopped = false;
  let latency = new Latency();
  let done = 0;
  const send = (writer: WebSocket): void => {
    const frame = Buffer.alloc(bareHeadBytes + benchLimits.bodyBytes, 'x');
    frame.writeDoubleLE(performance.now());
    writer.send(frame);
  };
  for (const reader of readers)
    reader.on('message', (frame: Buffer) => {
      done += 1;
      latency.add(performance.now() - frame.readDoubleLE());
    });
  if (perSecond === undefined) {
    for (const writer of writers) {
      writer.on('message', () => (stopped ? undefined : send(writer)));
      for (let at = 0; at < window; at++) send(writer);
    }
  }
  using _pace = perSecond === undefined ? undefined : paced(perSecond, (at) => send(writers[at % count] as WebSocket));
  await pause(sizes.warmUpMs);
  const before = cpuMs(servers());
  const from = performance.now();
  [latency, done] = [new Latency(), 0];
  await pause(sizes.measuredMs);
  const seen = { latency, done, ms: performance.now() - from, cpu: difference(before, cpuMs(servers())).sum };
  stopped = true;
  for (const socket of [...writers, ...readers]) socket.terminate();
  return { perSecond: (seen.done / seen.ms) * 1_000, cpuUsEach: (seen.cpu * 1_000) / seen.done, latency: seen.latency };
}

async function connected(port: number, path: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${path}`, { perMessageDeflate: false });
  // What is under way when a load ends is cut.
  socket.on('error', () => undefined);
  await once(socket, 'open');
  return socket;
}
