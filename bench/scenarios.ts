// The scenarios of the bench: who is needed, what the load process does, which numbers must hold.

import { benchLimits } from './limits.ts';
import type { LoadUser } from './load-client.ts';
import type { LoadJob, LoadResult, Pair } from './load-job.ts';

/** One number of the table. `must` is a bound in the direction of `better`. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly must?: number;
  readonly better: 'more' | 'less';
}

/** What was measured around one load job. */
export interface Measured {
  readonly result: LoadResult;
  /** CPU of all servers in the measured time, milliseconds; NaN where it cannot be had. */
  readonly serverCpuMs: number;
  /** Growth of the servers' memory, the nodes' garbage collected before and after, KiB. */
  readonly memoryKib: number;
  /** Growth of what the nodes' JavaScript holds, KiB; NaN where the nodes cannot be asked. */
  readonly heapKib: number;
  /** Growth of the first cell's SQL store, bytes. */
  readonly storedBytes: number;
}

export interface Sizes {
  readonly warmUpMs: number;
  readonly measuredMs: number;
  /** Share of the full number of users and messages; 1 but for smoke runs. */
  readonly scale: number;
}

/** Users of the first and of the second cell, in id order. */
export interface Crowd {
  readonly here: readonly LoadUser[];
  readonly there: readonly LoadUser[];
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Users it needs in the first and in the second cell. */
  readonly users: (sizes: Sizes) => readonly [here: number, there: number];
  readonly job: (crowd: Crowd, sizes: Sizes) => LoadJob;
  readonly figures: (measured: Measured) => Figure[];
}

const scaled = (full: number, sizes: Sizes, least = 2): number => Math.max(least, Math.round(full * sizes.scale));

const local = (crowd: Crowd, pairs: number): Pair[] =>
  Array.from({ length: pairs }, (_, at) => ({ from: crowd.here[2 * at] as LoadUser, to: crowd.here[2 * at + 1] as LoadUser }));

/** The log lives in the birth cell of the smaller id. `owner`: the cell of the sender, so that one crossing is measured. */
const across = (crowd: Crowd, pairs: number, owner: 'sender' | 'receiver'): Pair[] =>
  Array.from({ length: pairs }, (_, at) => {
    const [a, b] = [crowd.here[at] as LoadUser, crowd.there[at] as LoadUser];
    const [small, large] = BigInt(a.user) < BigInt(b.user) ? [a, b] : [b, a];
    return owner === 'sender' ? { from: small, to: large } : { from: large, to: small };
  });

const perSecond = ({ done, ms }: LoadResult): number => (done / ms) * 1000;
const cpuEach = ({ result, serverCpuMs }: Measured): number => (serverCpuMs * 1000) / result.done;

function rate(measured: Measured, what: { readonly unit: string; readonly must?: number; readonly cpuMust?: number }): Figure[] {
  return [
    {
      name: 'throughput',
      value: perSecond(measured.result),
      unit: what.unit,
      better: 'more',
      ...(what.must === undefined ? {} : { must: what.must }),
    },
    {
      name: 'server CPU each',
      value: cpuEach(measured),
      unit: 'µs',
      better: 'less',
      ...(what.cpuMust === undefined ? {} : { must: what.cpuMust }),
    },
  ];
}

function latency(result: LoadResult, must: { readonly p50?: number; readonly p95?: number; readonly p99?: number }): Figure[] {
  return (['p50', 'p95', 'p99'] as const).map((name) => {
    const bound = must[name];
    return { name, value: result.latency[name], unit: 'ms', better: 'less', ...(bound === undefined ? {} : { must: bound }) };
  });
}

const pairsOf200Sockets = 100;
const onePairAtATime = 20;

const inOneCell: Scenario[] = [
  {
    name: 'direct',
    title: 'durable 1:1 in one cell, 200 sockets, closed loop, window 20',
    users: (sizes) => [2 * scaled(pairsOf200Sockets, sizes), 0],
    job: (crowd, sizes) => ({ kind: 'pairs', pairs: local(crowd, scaled(pairsOf200Sockets, sizes)), window: 20, ...sizes }),
    figures: (m) => [...rate(m, { unit: 'messages/s', must: 30_000, cpuMust: 45 }), ...latency(m.result, { p95: 100 })],
  },
  {
    name: 'direct-slow',
    title: 'durable 1:1 in one cell, one at a time, 100/s',
    users: (sizes) => [2 * scaled(onePairAtATime, sizes), 0],
    job: (crowd, sizes) => ({ kind: 'pairs', pairs: local(crowd, scaled(onePairAtATime, sizes)), perSecond: 100, ...sizes }),
    figures: (m) => [...latency(m.result, { p50: 1.3, p99: 4 }), ...rate(m, { unit: 'messages/s' })],
  },
];

const betweenCells: Scenario[] = [
  {
    name: 'across',
    title: 'durable 1:1 across two cells, fsynced in both, closed loop, window 20',
    users: (sizes) => [scaled(pairsOf200Sockets, sizes), scaled(pairsOf200Sockets, sizes)],
    job: (crowd, sizes) => ({ kind: 'pairs', pairs: across(crowd, scaled(pairsOf200Sockets, sizes), 'sender'), window: 20, ...sizes }),
    figures: (m) => [...rate(m, { unit: 'messages/s', must: 20_000, cpuMust: 80 }), ...latency(m.result, {})],
  },
  {
    name: 'across-5000',
    title: 'durable 1:1 across two cells at 5,000/s, open loop',
    users: (sizes) => [scaled(pairsOf200Sockets, sizes), scaled(pairsOf200Sockets, sizes)],
    job: (crowd, sizes) => ({
      kind: 'pairs',
      pairs: across(crowd, scaled(pairsOf200Sockets, sizes), 'sender'),
      perSecond: scaled(5_000, sizes),
      ...sizes,
    }),
    figures: (m) => [...latency(m.result, { p95: 20 }), ...rate(m, { unit: 'messages/s' })],
  },
  {
    name: 'across-slow',
    title: 'durable 1:1 across two cells, one at a time, 100/s',
    users: (sizes) => [scaled(onePairAtATime, sizes), scaled(onePairAtATime, sizes)],
    job: (crowd, sizes) => ({ kind: 'pairs', pairs: across(crowd, scaled(onePairAtATime, sizes), 'sender'), perSecond: 100, ...sizes }),
    figures: (m) => [...latency(m.result, { p50: 2.8, p95: 5 }), ...rate(m, { unit: 'messages/s' })],
  },
  {
    name: 'across-intake',
    title: 'the same closed loop, but the log is owned by the receiver’s cell (beside; no bound)',
    users: (sizes) => [scaled(pairsOf200Sockets, sizes), scaled(pairsOf200Sockets, sizes)],
    job: (crowd, sizes) => ({ kind: 'pairs', pairs: across(crowd, scaled(pairsOf200Sockets, sizes), 'receiver'), window: 20, ...sizes }),
    figures: (m) => [...rate(m, { unit: 'messages/s' }), ...latency(m.result, {})],
  },
];

const group: Scenario = {
  name: 'fan-out',
  title: 'durable fan-out to a group’s 200 online members in one cell, 4 senders',
  users: (sizes) => [scaled(200, sizes, 8), 0],
  job: (crowd, sizes) => ({ kind: 'fan-out', members: crowd.here.slice(0, scaled(200, sizes, 8)), senders: 4, window: 20, ...sizes }),
  figures: (m) => [...rate(m, { unit: 'deliveries/s', must: 200_000, cpuMust: 6 }), ...latency(m.result, {})],
};

const writers = 20;

const resume = (clients: number, { name, must }: { readonly name: string; readonly must: number }): Scenario => ({
  name,
  title: `${clients.toLocaleString('en')} clients cut at once, one missed message each`,
  users: (sizes) => [scaled(clients, sizes, 20) + writers, 0],
  job: (crowd, sizes) => ({
    kind: 'resume',
    writers: crowd.here.slice(0, writers),
    users: crowd.here.slice(writers, writers + scaled(clients, sizes, 20)),
  }),
  figures: (m) => [
    ...rate(m, { unit: 'resumed clients/s', must }),
    { name: 'missing', value: m.result.missing, unit: 'clients', must: 0, better: 'less' },
    ...latency(m.result, {}),
  ],
});

const connections: Scenario[] = [
  {
    name: 'idle',
    title: 'authenticated, resumable, idle connections: 5,000',
    users: (sizes) => [scaled(5_000, sizes, 20), 0],
    job: (crowd, sizes) => ({
      kind: 'idle',
      users: crowd.here.slice(0, scaled(5_000, sizes, 20)),
      idleMs: sizes.scale === 1 ? benchLimits.idleMs : 500,
      holdMs: sizes.scale === 1 ? benchLimits.holdMs : 2_000,
    }),
    figures: ({ result, memoryKib, heapKib }) => [
      { name: 'server memory each', value: memoryKib / result.done, unit: 'KiB', must: 16, better: 'less' },
      ...(Number.isNaN(heapKib) ? [] : [{ name: 'live heap each', value: heapKib / result.done, unit: 'KiB', better: 'less' as const }]),
      { name: 'connect p95', value: result.latency.p95, unit: 'ms', better: 'less' },
    ],
  },
  resume(3_000, { name: 'resume', must: 4_000 }),
  resume(5_000, { name: 'resume-5000', must: 2_000 }),
];

const stored: Scenario[] = [
  {
    name: 'history',
    title: 'history, pages of 50 backwards over 100,000 messages, 16 readers, 100/s arriving',
    users: (sizes) => [writers + (sizes.scale === 1 ? 16 : 4), 0],
    job: (crowd, sizes) => ({
      kind: 'history',
      writers: crowd.here.slice(0, writers),
      readers: crowd.here.slice(writers, writers + (sizes.scale === 1 ? 16 : 4)),
      messages: scaled(100_000, sizes),
      pageEntries: 50,
      perSecond: 100,
      ...sizes,
    }),
    figures: (m) => [...rate(m, { unit: 'pages/s', must: 3_000 }), ...latency(m.result, { p95: 10 })],
  },
  {
    name: 'stored',
    title: 'stored bytes per 100-byte message, one cell, indexes included',
    users: (sizes) => [2 * scaled(pairsOf200Sockets, sizes), 0],
    job: (crowd, sizes) => ({
      kind: 'fill',
      pairs: local(crowd, scaled(pairsOf200Sockets, sizes)),
      messages: scaled(100_000, sizes),
      window: 20,
    }),
    figures: ({ result, storedBytes }) => [
      { name: 'stored each', value: storedBytes / result.done, unit: 'bytes', must: 280, better: 'less' },
    ],
  },
];

/** In the order in which they run: first what wants a quiet machine, last what leaves much behind. */
export const scenarios: readonly Scenario[] = [...inOneCell, ...betweenCells, group, ...connections, ...stored];
