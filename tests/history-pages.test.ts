// What a page of history claims of its log, while others write into the log and while a session of the store is slow.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFabric, type TestFabric } from './harness.ts';
import type { EventValue, RawClient } from './raw-client.ts';

type Page = EventValue<'page'>;
type Range = Parameters<RawClient['page']>[1];

const cell = 'eu-1';
const pageEntries = 50;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: [cell] });
});

after(() => fabric?.stop());

/** Appends `count` texts; answers the log's head then. */
async function write(writer: RawClient, log: bigint, count: number): Promise<bigint> {
  const accepted = await Promise.all(Array.from({ length: count }, () => writer.accepted({ log }, 'x')));
  return BigInt(Math.max(...accepted.map(({ seq }) => Number(seq))));
}

/** Pages read one after the other by several devices of the writer, while 20 entries at a time are written. */
async function readWhileWritten(name: string, rangeAt: (head: bigint) => Range): Promise<Page[]> {
  const writer = await fabric.client(name, cell);
  const log = await writer.createGroup([]);
  const readers = await Promise.all(Array.from({ length: 4 }, (_, n) => fabric.client(name, cell, { device: `reader${n}` })));
  const pages: Page[] = [];
  let head = await write(writer, log, 20);
  let writing = true;
  const reading = readers.map(async (reader) => {
    while (writing) pages.push(await reader.page(log, rangeAt(head)));
  });
  for (let round = 0; round < 25; round++) head = await write(writer, log, 20);
  writing = false;
  await Promise.all(reading);
  return pages;
}

/** What a page says of itself, in words; empty when it is right. */
function wrongIn({ entries, head, end, visibleFrom }: Page, range: Range): string {
  const [first, last] = [entries[0]?.seq, entries.at(-1)?.seq];
  const [newest, oldest] = [head?.seq ?? 0n, visibleFrom];
  const forwards = range?.from !== undefined;
  const shouldEnd = forwards ? (last ?? newest) === newest : (first ?? oldest) === oldest;
  const isDense = entries.every(({ seq }, n) => seq === (first ?? 0n) + BigInt(n));
  if (entries.length === 0 && (range?.from ?? 0n) <= newest) return `nothing of ${newest}`;
  if (!isDense) return 'a hole';
  if (range?.from === undefined && range?.before === undefined && last !== newest) return `up to ${last} of ${newest}`;
  return end === shouldEnd ? '' : `from ${first} to ${last} of ${newest}, end ${end}`;
}

for (const [what, rangeAt] of [
  ['the newest page', () => ({ limit: 2 })],
  ['a page forwards from the head', (head: bigint) => ({ from: head, limit: 10 })],
  ['a page backwards from the head', (head: bigint) => ({ before: head + 1n, limit: 3 })],
] as const) {
  test(`${what} of a log that is being written agrees with the head it tells`, async (t) => {
    const pages = await readWhileWritten(what.replaceAll(' ', ''), rangeAt);
    t.diagnostic(`${pages.length} pages`);
    assert.deepEqual(new Set(pages.map((page) => wrongIn(page, rangeAt(page.head?.seq ?? 0n)))), new Set(['']));
  });
}

test('a page whose log grows by more than a page while one session of the store stands still is not empty', async () => {
  const writer = await fabric.client('writer', cell);
  const reader = await fabric.client('writer', cell, { device: 'reader' });
  const log = await writer.createGroup([]);
  await write(writer, log, 10);
  // Whatever of a page goes over which session: with a request of one statement between them, each part meets the slow one.
  for (const session of await fabric.sql(cell, "select pid from pg_stat_activity where application_name like 'weft-read-%'")) {
    process.kill(Number(session.pid), 'SIGSTOP');
    try {
      const pages: Promise<Page>[] = [];
      const between: Promise<unknown>[] = [];
      for (let n = 0; n < 8; n++) {
        if (n % 2 === 1) between.push(reader.request({ $case: 'listLogs', value: { after: 0n, limit: 1 } }));
        pages.push(reader.page(log, { limit: pageEntries }));
      }
      await write(writer, log, pageEntries + 10);
      process.kill(Number(session.pid), 'SIGCONT');
      for (const page of await Promise.all(pages)) assert.equal(wrongIn(page, {}), '');
      await Promise.all(between);
    } finally {
      process.kill(Number(session.pid), 'SIGCONT');
    }
  }
});
