// A cell that is offered twice what it takes: entries flow, whoever is refused is told when to come again, nothing grows.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { Fault } from '@weft/proto/gen/weft/client/v1/client.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { appendRequest, type RawClient } from './raw-client.ts';

const node = 'node-eu-1-a';
const writers = 48;
const tickMs = 10;
const measureMs = 4_000;
const overloadMs = 8_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1'], durable: true });
});

after(async () => {
  await fabric?.stop();
});

interface Writer {
  readonly client: RawClient;
  readonly log: bigint;
  sent: number;
}

const rssMb = (): number => {
  const status = readFileSync(`/proc/${fabric.fabric.pid(node)}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
};
const acceptedBy = (people: readonly Writer[]): number => people.reduce((sum, { client }) => sum + client.all('accepted').length, 0);
const faultsOf = (people: readonly Writer[]): Fault[] => people.flatMap(({ client }) => client.all('fault'));

/** So many appends a second of all together, answered or not. */
async function offer(people: readonly Writer[], perSecond: number, ms: number): Promise<void> {
  const startMs = performance.now();
  let offered = 0;
  for (; performance.now() - startMs < ms; await systemClock.sleep(tickMs)) {
    for (const due = ((performance.now() - startMs) * perSecond) / 1_000; offered < due; offered++) {
      const writer = people[offered % people.length] as Writer;
      const id = BigInt(1_000_000 + ++writer.sent);
      writer.client.sendFrame({ id, request: appendRequest({ log: writer.log }, `offered ${offered}`, writer.client.freshEntryId()) });
    }
  }
}

/** What the cell takes when as many write as it can answer. */
async function capacity(people: readonly Writer[]): Promise<number> {
  const before = acceptedBy(people);
  const endsMs = performance.now() + measureMs;
  const busy = people.map(async ({ client, log }) => {
    while (performance.now() < endsMs) await Promise.all(Array.from({ length: 8 }, () => client.append({ log }, 'measured')));
  });
  await Promise.all(busy);
  return ((acceptedBy(people) - before) * 1_000) / measureMs;
}

test('twice the capacity: entries keep flowing, refusals say when to come back, memory stays flat', async (t) => {
  const people: Writer[] = [];
  for (let n = 0; n < writers; n++) {
    const client = await fabric.client(`writer${n}`, 'eu-1');
    people.push({ client, log: await client.createGroup([]), sent: 0 });
  }
  const full = await capacity(people);
  const [accepted, startMb] = [acceptedBy(people), rssMb()];
  // One of them writes more than a user may, so that somebody is refused whatever the machine.
  const shouting = offer(people.slice(0, 1), 3_000, overloadMs);
  await offer(people.slice(1), 2 * full, overloadMs / 2);
  const midMb = rssMb();
  await offer(people.slice(1), 2 * full, overloadMs / 2);
  await shouting;
  const rate = ((acceptedBy(people) - accepted) * 1_000) / overloadMs;
  const endMb = rssMb();
  const faults = faultsOf(people);
  t.diagnostic(
    `capacity ${Math.round(full)}/s, under twice as much ${Math.round(rate)}/s; ${faults.length} refused; ${[startMb, midMb, endMb].map(Math.round).join(' → ')} MB`,
  );
  assert.ok(rate > full / 3, 'entries keep flowing');
  assert.ok(faults.length > 0, 'somebody is refused');
  assert.deepEqual(
    faults.filter(({ retry, afterMs }) => retry === 'RETRY_LATER' && afterMs <= 0).map(({ code }) => code),
    [],
  );
  assert.ok(endMb - midMb < 100, `it grew from ${midMb} to ${endMb} MB`);
});
