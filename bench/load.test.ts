import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeCell, type Mischief } from './fake-cell.ts';
import { runLoad } from './load.ts';
import type { LoadUser } from './load-client.ts';
import type { LoadJob, LoadResult, Pair } from './load-job.ts';

/** Ten times what the counts below take on a quiet machine: these tests run beside those over servers, with what they leave of it. */
const short = { warmUpMs: 100, measuredMs: 2_000 };

async function load(
  make: (users: readonly LoadUser[]) => LoadJob,
  mischief: Mischief = {},
): Promise<{ result: LoadResult; marks: string[] }> {
  await using cell = await FakeCell.start(mischief);
  const users = Array.from({ length: 12 }, (_, at) => ({
    user: String(100 + at),
    device: 'bench',
    accessToken: String(100 + at),
    url: cell.url,
  }));
  const marks: string[] = [];
  const result = await runLoad(make(users), { begin: () => marks.push('begin'), end: () => marks.push('end') });
  return { result, marks };
}

const pairs = (users: readonly LoadUser[]): Pair[] => [0, 2, 4].map((at) => ({ from: users[at]!, to: users[at + 1]! }));

test('pairs in a closed loop deliver what they send, and the marks come around the measured time', async () => {
  const { result, marks } = await load((users) => ({ kind: 'pairs', pairs: pairs(users), window: 4, ...short }));
  assert.deepEqual(marks, ['begin', 'end']);
  assert.ok(result.done > 100, `only ${result.done} delivered`);
  assert.deepEqual([result.missing, result.disordered, result.faults], [0, 0, {}]);
  assert.ok(result.latency.count > 0 && result.latency.p50 > 0 && result.latency.p50 <= result.latency.p99);
});

test('pairs at a rate send about as many as asked', async () => {
  const { result } = await load((users) => ({ kind: 'pairs', pairs: pairs(users), perSecond: 500, ...short }));
  const asked = (result.ms / 1_000) * 500;
  assert.ok(result.done >= 0.4 * asked && result.done <= 2 * asked, `${result.done} delivered in ${result.ms} ms at 500/s`);
  assert.equal(result.missing, 0);
});

test('a fault that says later is met by the same append again, and nothing is lost', async () => {
  const { result } = await load((users) => ({ kind: 'fill', pairs: pairs(users), messages: 300, window: 4 }), { busyEvery: 7 });
  assert.equal(result.done, 300);
  assert.equal(result.missing, 0);
  assert.ok((result.faults.busy ?? 0) > 10);
});

test('a push that never came is missing and out of order in the result', { timeout: 40_000 }, async () => {
  const { result } = await load((users) => ({ kind: 'fill', pairs: pairs(users).slice(0, 1), messages: 50, window: 4 }), {
    dropSeqs: [20],
  });
  assert.deepEqual([result.missing, result.disordered], [1, 1]);
});

test('a group’s messages reach every member', async () => {
  const { result } = await load((users) => ({ kind: 'fan-out', members: users, senders: 2, window: 2, ...short }));
  assert.ok(result.done > 100);
  assert.deepEqual([result.missing, result.disordered], [0, 0]);
});

test('idle connections stay, and are counted', async () => {
  const { result } = await load((users) => ({ kind: 'idle', users, idleMs: 50, holdMs: 10 }));
  assert.deepEqual([result.done, result.missing], [12, 0]);
});

test('whoever was cut comes back with the missed message, and the digests agree', async () => {
  const { result } = await load((users) => ({ kind: 'resume', writers: users.slice(0, 2), users: users.slice(2) }));
  assert.deepEqual([result.done, result.missing], [10, 0]);
});

test('readers walk a log backwards without hole or overlap while it grows', async () => {
  const { result } = await load((users) => ({
    kind: 'history',
    writers: users.slice(0, 4),
    readers: users.slice(4, 8),
    messages: 400,
    pageEntries: 50,
    perSecond: 100,
    ...short,
  }));
  assert.ok(result.done > 20);
  assert.deepEqual([result.missing, result.disordered], [0, 0]);
});

test('a job that cannot be done ends with its reason', async () => {
  const nowhere = { user: '1', device: 'bench', accessToken: '1', url: 'ws://127.0.0.1:9/v1/socket' };
  const silent = { begin: () => {}, end: () => {} };
  await assert.rejects(runLoad({ kind: 'idle', users: [nowhere], idleMs: 1, holdMs: 10 }, silent), /ECONNREFUSED/);
});
