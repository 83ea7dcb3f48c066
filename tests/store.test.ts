// The write transaction over real PostgreSQL (R4, R5): dense order, idempotency, no deadlock, nobody held up. The same at
// SERIALIZABLE with commits that fail, which is what CockroachDB's clients meet.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { groupPair, pairOf } from '@weft/cells/delivery/log-state.ts';
import type { Outcome } from '@weft/cells/delivery/operations.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { Created } from '@weft/proto/gen/weft/client/v1/client.ts';
import { laneOf } from '@weft/proto/ids.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { openPipelined } from '@weft/runtime/sql.ts';
import { FailingCommits, GatheredAnswers } from './failing-commits.ts';
import { type Conversation, StoreCell, type StoreCellOptions, type StoreNode } from './store-cell.ts';

let postgres: TestServer;
let databases = 0;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
});

after(async () => {
  await postgres?.stop();
});

const openCell = (options: StoreCellOptions = {}): Promise<StoreCell> => StoreCell.open(postgres, `cell_${++databases}`, options);
const seqOf = (outcome: Outcome | undefined): number => {
  assert.equal(
    outcome?.type,
    'accepted',
    JSON.stringify(outcome, (_, value) => (typeof value === 'bigint' ? String(value) : value)),
  );
  return (outcome as Extract<Outcome, { type: 'accepted' }>).entry.seq;
};
const text = (bytes: number): Uint8Array => Buffer.alloc(bytes, 'x');
const at = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

interface Variant {
  readonly name: string;
  readonly options: () => StoreCellOptions;
  readonly failing: FailingCommits[];
}

function variants(): Variant[] {
  const failing: FailingCommits[] = [];
  return [
    { name: 'read committed', options: () => ({}), failing: [] },
    {
      name: 'serializable, where commits fail',
      failing,
      options: () => ({
        isolation: 'serializable',
        through: (sessions) => {
          const each = new FailingCommits(sessions, seededRandom(failing.length + 1), 0.2);
          failing.push(each);
          return each;
        },
      }),
    },
  ];
}

const tried = variants();
for (const { name, options, failing } of tried) {
  test(`${name}: concurrent appends of two nodes to the same logs get a dense order without holes or doubles`, async () => {
    await using cell = await openCell(options());
    const nodes = [await cell.node(), await cell.node()];
    const talks = await cell.conversations(at(nodes, 0), 20);
    const sent = Array.from({ length: 1_000 }, (_, i) => {
      const { log, author } = at(talks, i);
      return at(nodes, Math.floor(i / 20)).append({ target: { log }, author, clientEntryId: cell.entryId(), body: text(20) });
    });
    for (const outcome of await Promise.all(sent)) seqOf(outcome);
    assert.deepEqual(await cell.disorder(), []);
    const { rows } = await cell.pool.query('select min(head) as least, max(head) as most from logs where high <> 0');
    assert.deepEqual([rows[0].least, rows[0].most], [51n, 51n]);
    assert.deepEqual(
      nodes.flatMap((node) => node.failures),
      [],
    );
  });

  test(`${name}: an append retried later, on another node or on both at once has one position`, async () => {
    await using cell = await openCell(options());
    const [one, two] = [await cell.node(), await cell.node()];
    const talk = at(await cell.conversations(one, 1), 0);
    for (let round = 0; round < 25; round++) {
      const append = { target: { log: talk.log }, author: talk.author, clientEntryId: cell.entryId(), body: text(20) };
      const both = await Promise.all([one.append(append), two.append(append)]);
      const later = [await two.append(append), await one.append(append)];
      assert.deepEqual(new Set([...both, ...later].map(seqOf)), new Set([round + 2]));
      for (const outcome of later) assert(outcome.type === 'accepted' && !outcome.fresh);
    }
    assert.deepEqual(await cell.disorder(), []);
  });

  test(`${name}: one id twice in a batch is one append with two waiters`, async () => {
    await using cell = await openCell(options());
    const node = await cell.node();
    const talk = at(await cell.conversations(node, 1), 0);
    const batchesBefore = node.lanes.reduce((sum, lane) => sum + lane.counts.batches, 0);
    const ids = Array.from({ length: 50 }, () => cell.entryId());
    const twice = [...ids, ...ids].map((clientEntryId) => node.append({ target: { log: talk.log }, author: talk.author, clientEntryId }));
    const seqs = (await Promise.all(twice)).map(seqOf);
    assert.deepEqual(seqs.slice(50), seqs.slice(0, 50));
    assert.equal(new Set(seqs).size, 50);
    assert.equal(node.lanes.reduce((sum, lane) => sum + lane.counts.batches, 0) - batchesBefore, 1);
    assert.deepEqual(await cell.disorder(), []);
  });

  test(`${name}: overlapping batches of two nodes, every twentieth id repeated, end without an error`, async () => {
    await using cell = await openCell(options());
    const nodes = [await cell.node(), await cell.node()];
    const talks = await cell.conversations(at(nodes, 0), 200);
    const found = new Map<string, number>();
    const run = (node: StoreNode, seed: number): Promise<void> => overlap(cell, node, { talks, found, seed });
    await Promise.all(nodes.map((node, i) => run(node, i + 1)));
    assert.deepEqual(await cell.disorder(), []);
    assert.equal(await cell.count('entries where kind = 9'), found.size);
    assert.deepEqual(
      nodes.flatMap((node) => node.failures),
      [],
    );
    // Four lanes may share the transaction of a round.
    assert(nodes.flatMap((node) => node.lanes).reduce((sum, lane) => sum + lane.counts.batches, 0) >= 40);
    if (failing.length === 0) assert.equal(await deadlocks(cell), 0);
  });

  test(`${name}: a node that is frozen inside its transaction holds its logs for about a second, and no others`, async (t) => {
    await using cell = await openCell(options());
    const node = await cell.node();
    const talks = await cell.conversations(node, 8);
    const held = at(talks, 0);
    const other = talks.find(({ log }) => laneOf(log) !== laneOf(held.log)) as Conversation;
    const frozen = await openPipelined(cell.url);
    try {
      await frozen.query('begin');
      await frozen.query('select 1 from logs where log_id = $1 for update', [held.log]);
      const startMs = performance.now();
      const waiting = node.append({ target: { log: held.log }, author: held.author, clientEntryId: cell.entryId() });
      seqOf(await node.append({ target: { log: other.log }, author: other.author, clientEntryId: cell.entryId() }));
      const otherMs = performance.now() - startMs;
      seqOf(await waiting);
      const heldMs = performance.now() - startMs;
      t.diagnostic(`held ${heldMs.toFixed(0)} ms, another log ${otherMs.toFixed(0)} ms`);
      assert(heldMs > 500 && heldMs < 2_500, `${heldMs} ms`);
      assert(otherMs < 500, `${otherMs} ms`);
    } finally {
      await frozen.end().catch(() => undefined);
    }
  });

  test(`${name}: full batches of 16 KiB entries are stored whole and cut into frames that fit the bus`, async () => {
    await using cell = await openCell(options());
    const node = await cell.node();
    const talk = at(await cell.conversations(node, 1, 2), 0);
    const body = Buffer.alloc(16 * 1024, 'é');
    const sent = Array.from({ length: 64 }, () =>
      node.append({ target: { log: talk.log }, author: talk.author, clientEntryId: cell.entryId(), body }),
    );
    const seqs = (await Promise.all(sent)).map(seqOf);
    assert.deepEqual(
      seqs,
      Array.from({ length: 64 }, (_, i) => i + 2),
    );
    const stored = await node.store.readRange(talk.log, 2, 65, 100);
    assert(stored.length === 64 && stored.every((entry) => Buffer.compare(entry.body, body) === 0));
    const frames = (await node.store.unacknowledged(2, Date.now() + 60_000, 1_000)).filter(({ class: cls }) => cls === 'e');
    const sizes = frames.map(({ ranges }) => ranges.reduce((sum, { first, last }) => sum + (last - first + 1) * body.length, 0));
    assert.equal(
      frames.flatMap(({ ranges }) => ranges).reduce((sum, { first, last }) => sum + last - first + 1, 0),
      65,
    );
    assert(Math.max(...sizes) <= 256 * 1024, `${sizes}`);
  });

  test(`${name}: what PostgreSQL refuses is found by halving the batch, and nobody else is refused`, async () => {
    await using cell = await openCell(options());
    const node = await cell.node();
    const talks = await cell.conversations(node, 40);
    const author = await cell.person();
    const [before, after] = [talks.slice(0, 20), talks.slice(20)];
    const tell = ({ log, author }: Conversation) => node.append({ target: { log }, author, clientEntryId: cell.entryId() });
    const create = (title: string): Promise<Outcome> => {
      const clientEntryId = cell.entryId();
      const body = Created.encode({
        kind: 'LOG_KIND_GROUP',
        title,
        membersMax: 10,
        members: [{ user: author, home: 1, from: 1n }],
      }).finish();
      return node.append({ target: { pair: groupPair(author, clientEntryId) }, author, clientEntryId, kind: kinds.created, body });
    };
    const good = before.map(tell);
    const poison = await Promise.all([create('a title\0with NUL'), create('fine'), create('\0'), ...good, ...after.map(tell)]);
    const [first, second, third, ...others] = poison;
    assert.deepEqual(
      [first, third].map((outcome) => outcome?.type === 'fault' && outcome.code),
      ['internal', 'internal'],
    );
    for (const outcome of [second, ...others]) seqOf(outcome);
    assert.equal(node.failures.length, 2);
    assert.deepEqual(await cell.disorder(), []);
  });
}

test('a lock that is held too long is waited for again, whichever statement hears of it first', async () => {
  await using cell = await openCell({ through: (sessions) => new GatheredAnswers(sessions) });
  const node = await cell.node();
  const pair = pairOf(await cell.person(), await cell.person());
  const frozen = await openPipelined(cell.url);
  try {
    await frozen.query('begin');
    await frozen.query('insert into intake_streams (stream_a, stream_b, generation, next_n) values ($1, $2, 1, 1)', [pair.low, pair.high]);
    // Longer than a write session waits for a lock.
    const busy = frozen.query('select pg_sleep(1.3)').then(() => frozen.query('rollback'));
    seqOf(await node.append({ target: { pair }, author: pair.low, clientEntryId: cell.entryId() }));
    assert.deepEqual(node.failures, []);
    assert(node.lanes.some((lane) => lane.counts.again > 0));
    await busy;
  } finally {
    await frozen.end().catch(() => undefined);
  }
});

test('commits did fail, in every way', () => {
  const counts = new Map<string, number>();
  for (const { failing } of tried)
    for (const each of failing) for (const [way, n] of each.counts) counts.set(way, (counts.get(way) ?? 0) + n);
  for (const [way, n] of counts) assert(n > 5, `${way}: ${n}`);
});

test('a 100-byte message takes at most 280 bytes, indexes included', async (t) => {
  await using cell = await openCell();
  const node = await cell.node();
  const talks = await cell.conversations(node, 200);
  const messages = 60_000;
  const random = seededRandom(7);
  for (let sent = 0; sent < messages; sent += 2_000) {
    const some = Array.from({ length: 2_000 }, () => at(talks, random.int(talks.length)));
    const append = ({ log, author }: Conversation) =>
      node.append({ target: { log }, author, clientEntryId: cell.entryId(), body: text(100) });
    for (const outcome of await Promise.all(some.map(append))) seqOf(outcome);
  }
  const { rows } = await cell.pool.query(
    "select pg_total_relation_size('entries') as all, pg_table_size('entries') as rows, pg_relation_size('logs') as logs",
  );
  const each = (bytes: bigint): string => (Number(bytes) / messages).toFixed(1);
  t.diagnostic(`${each(rows[0].all)} bytes a message, of which ${each(rows[0].rows)} the row; logs ${each(rows[0].logs)}`);
  assert(Number(rows[0].all) / messages <= 280, each(rows[0].all));
});

interface Overlap {
  readonly talks: readonly Conversation[];
  /** Position of every id that was answered, over both nodes. */
  readonly found: Map<string, number>;
  readonly seed: number;
}

/** 20 batches at least, one a round. Checks that an id has one position whoever sends it. */
async function overlap(cell: StoreCell, node: StoreNode, { talks, found, seed }: Overlap): Promise<void> {
  const random = seededRandom(seed);
  const repeated: { talk: Conversation; clientEntryId: bigint }[] = [];
  for (let round = 0; round < 20; round++) {
    const appends = Array.from({ length: 128 }, (_, i) => {
      if (i % 20 === 19 && repeated.length > 0) return at(repeated, random.int(repeated.length));
      return { talk: at(talks, random.int(talks.length)), clientEntryId: cell.entryId() };
    });
    repeated.push(at(appends, 0), at(appends, 1));
    const send = ({ talk, clientEntryId }: (typeof appends)[number]) =>
      node.append({ target: { log: talk.log }, author: talk.author, clientEntryId, body: text(40) });
    const outcomes = await Promise.all(appends.map(send));
    appends.forEach(({ talk, clientEntryId }, i) => {
      const key = `${talk.log}:${clientEntryId}`;
      const seq = seqOf(outcomes[i]);
      assert.equal(found.get(key) ?? seq, seq);
      found.set(key, seq);
    });
  }
}

async function deadlocks(cell: StoreCell): Promise<number> {
  const { rows } = await cell.pool.query('select deadlocks from pg_stat_database where datname = current_database()');
  return Number(rows[0].deadlocks);
}
