// Holds the simulation's log store to the real one: the same batches, decided over both, must find the same and leave the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hashOf } from '@weft/cells/delivery/chain-of.ts';
import { decide } from '@weft/cells/delivery/decide.ts';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { clampedSeq } from '@weft/cells/delivery/epochs.ts';
import { keysOf } from '@weft/cells/delivery/keys-of.ts';
import { groupPair, pairKey, pairOf } from '@weft/cells/delivery/log-state.ts';
import type { Mark } from '@weft/cells/delivery/marks.ts';
import type { AppendOperation, Operation, Target } from '@weft/cells/delivery/operations.ts';
import type { LogStore } from '@weft/cells/delivery/ports.ts';
import { foldState } from '@weft/cells/delivery/snapshot.ts';
import type { Query } from '@weft/cells/store/entries-table.ts';
import { writeEpochs } from '@weft/cells/store/epochs-table.ts';
import { mergeMarks } from '@weft/cells/store/marks-table.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { Chain } from '@weft/proto/chain.ts';
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell, makeId } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { type Random, seededRandom } from '@weft/runtime/random.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { MemoryCell } from './simulation/memory-cell.ts';
import { MemoryLogStore } from './simulation/memory-log-store.ts';
import { inMacrotask, ProcessClock, SimulatedTime } from './simulation/simulated-time.ts';
import { StoreCell } from './store-cell.ts';

const chain = new Chain(sha256);
const batches = 150;
const nowMs = 1_800_000_000_000;

let postgres: TestServer;
before(async () => {
  postgres = await startTestPostgres({ fast: true });
});
after(async () => {
  await postgres?.stop();
});

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, v) => {
      if (typeof v === 'bigint') return `${v}n`;
      if (v instanceof Uint8Array) return Buffer.from(v).toString('hex');
      if (v?.type === 'Buffer') return Buffer.from(v.data).toString('hex');
      if (v instanceof Map) return [...v].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
      return v;
    }),
  );

/** Ids that both stores' decisions draw alike. */
class Ids {
  #last: number;
  readonly #cell: number;
  constructor(cell: number, from: number) {
    this.#cell = cell;
    this.#last = from;
  }
  next = (): bigint => makeId(nowMs + ++this.#last, this.#cell, 3, 0);
}

class Model {
  readonly cell: MemoryCell;
  readonly store: CellStore;
  readonly #time = new SimulatedTime();

  constructor(number: number) {
    const clock = new ProcessClock(this.#time, nowMs, 0);
    const faults = { failBefore: 0, failAfter: 0, failRead: 0 };
    this.cell = new MemoryCell(number);
    const { cell } = this;
    this.store = new MemoryLogStore({ cell, node: 0, time: this.#time, clock, random: seededRandom(1), faults, trace: () => undefined });
  }

  /** Virtual time goes on until the answer is there. */
  async ask<T>(answer: Promise<T>): Promise<T> {
    let done = false;
    const told = answer.finally(() => {
      done = true;
    });
    await inMacrotask(() => this.#time.run(this.#time.nowMs + 60_000, () => done));
    return told;
  }

  addSelfLog(user: bigint): void {
    this.cell.addSelfLog(user, makeEpoch({ count: 1, cell: this.cell.number, generation: 1 }));
  }
}

async function run(store: LogStore, operations: readonly Operation[], of: { cell: number; from: number }) {
  const ids = new Ids(of.cell, of.from);
  const pairs = operations.flatMap((o) => ('target' in o && o.type !== 'refused' && 'pair' in o.target ? [o.target.pair] : []));
  const logs = await store.findPairs(pairs);
  const resolved = operations.map((o): Operation => {
    if (!('target' in o) || o.type === 'refused' || !('pair' in o.target)) return o;
    const log = logs.get(pairKey(o.target.pair));
    return log === undefined ? { ...o, freshLog: ids.next() } : { ...o, target: { log } };
  });
  const keys = keysOf(resolved, (user) => birthCell(user) === of.cell);
  return store.write(0, keys, (facts) =>
    decide(resolved, facts, {
      chain,
      cell: of.cell,
      generation: 1,
      lane: 0,
      nowMs,
      homeOf: birthCell,
      birthplace: (pair) => birthCell(pair.low),
      takeover: () => undefined,
      generationOf: () => 1,
      isBack: () => true,
      isWhole: () => true,
      hasIntakeRoom: () => true,
      hasOutboxRoom: () => true,
      freshId: ids.next,
      limits: { openIntakePerUserMax: 8, frameEntriesMax: 256, frameBytesMax: 200_000 },
    }),
  );
}

/** What may happen next in cell 1, given what it and its neighbour hold. */
class Script {
  readonly #random: Random;
  readonly #here: MemoryCell;
  readonly #there: MemoryCell;
  readonly #users: readonly bigint[];

  constructor(here: MemoryCell, there: MemoryCell, users: readonly bigint[]) {
    this.#random = seededRandom(7);
    this.#here = here;
    this.#there = there;
    this.#users = users;
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#random.int(Math.max(from.length, 1))];
  }

  append(home: number): AppendOperation {
    const author = this.#pick(this.#users.filter((user) => birthCell(user) === home)) as bigint;
    const other = this.#pick(this.#users.filter((user) => user !== author)) as bigint;
    const cell = home === 1 ? this.#here : this.#there;
    const logs = [...cell.logs.values()].filter(({ state }) => state.kind !== 'self').map(({ row }) => row.log);
    const log = this.#pick(logs);
    const id = BigInt(1 + this.#random.int(60));
    const base = { type: 'append' as const, author, connection: 1, clientEntryId: id, body: Buffer.from(`text ${id}`) };
    const dice = this.#random.next();
    if (dice < 0.12) {
      const members = [author, ...this.#users.filter(() => this.#random.next() < 0.5)].map((user) => ({
        user,
        home: birthCell(user),
        from: 1n,
      }));
      const body = Created.encode({ kind: 'LOG_KIND_GROUP', title: 't', membersMax: 3, members }).finish();
      return { ...base, target: { pair: groupPair(author, id) }, kind: kinds.created, body };
    }
    if (log === undefined || dice < 0.3) return { ...base, target: { pair: pairOf(author, other) }, kind: kinds.text };
    const target: Target = { log };
    if (dice < 0.45) {
      const body = MembersAdded.encode({ members: [{ user: other, home: birthCell(other), from: 0n }] }).finish();
      return { ...base, target, kind: kinds.membersAdded, body };
    }
    if (dice < 0.6) return { ...base, target, kind: kinds.membersRemoved, body: MembersRemoved.encode({ users: [other] }).finish() };
    return { ...base, target, kind: kinds.text };
  }

  /** What the cell is sent by the other one: runs of its logs, pulled pages, pending appends, refusals. */
  arrival(at: number): Operation | undefined {
    const [here, there] = at === 1 ? [this.#here, this.#there] : [this.#there, this.#here];
    const src = there.number;
    const dice = this.#random.next();
    const row = this.#pick([...there.intake.values()]);
    if (row && dice < 0.4) {
      const target: Target = row.stream.b === 0n ? { log: row.stream.a } : { pair: { low: row.stream.a, high: row.stream.b } };
      return { ...row, type: 'intake', src, generation: 1, target, lowestOpen: 0 };
    }
    const waiting = this.#pick([...here.intake.values()]);
    if (waiting && dice < 0.5) {
      const { stream, log, n, author, clientEntryId } = waiting;
      const target: Target = log === 0n ? { pair: { low: stream.a, high: stream.b } } : { log };
      return { type: 'refused', src, target, stream, n, author, clientEntryId, code: 'not_allowed', text: '' };
    }
    const stored = this.#pick([...there.logs.values()].filter(({ state }) => state.kind !== 'self' && birthCell(state.log) === src));
    if (!stored) return undefined;
    const { log, head } = stored.row;
    const from = 1 + this.#random.int(head);
    const entries = there.range(log, from, from + this.#random.int(6), 10);
    const before = there.range(log, from - 1, from - 1, 1)[0];
    const state = foldState(there.stateEntries(log, from - 1));
    const hash = before && hashOf(chain, before);
    if (!before || !hash || !state || dice < 0.8) return { type: 'apply', src, log, entries };
    const leaving = [...(here.logs.get(log)?.state.members ?? [])].filter(([, { home }]) => home === at).map(([user]) => user);
    return {
      type: 'apply',
      src,
      log,
      entries,
      snapshot: { state, start: before.seq, ts: before.ts, ord: before.ord, hash, floor: 0 },
      leaving,
    };
  }

  batch(at: number): Operation[] {
    const size = 1 + this.#random.int(4);
    return Array.from({ length: size }, () => (this.#random.next() < 0.5 ? this.append(at) : (this.arrival(at) ?? this.append(at))));
  }
}

/** Everything the edge, the link and the marks read. */
async function compareReads(here: Model, store: CellStore, users: readonly bigint[]): Promise<void> {
  const same = async (what: string, read: (from: CellStore) => Promise<unknown>): Promise<void> => {
    assert.deepEqual(plain([await here.ask(read(here.store))]), plain([await read(store)]), what);
  };
  const own = users.filter((user) => birthCell(user) === 1);
  const logs = [...here.cell.logs.keys()];
  const byLog = (x: { log: bigint }, y: { log: bigint }): number => (x.log < y.log ? -1 : 1);
  // The two have clocks of their own.
  const heads = async (from: CellStore): Promise<unknown> =>
    [...(await from.userHeads(own))].map(([user, found]) => [user, found.map(({ changedMs: _, ...head }) => head).sort(byLog)]);
  await same('heads of users', heads);
  await same('heads of logs', async (from) => (await from.heads(logs)).sort(byLog));
  await same('owned', (from) => from.ownedHeads(2, { after: 0n, limit: 50 }));
  await same('kept', (from) => from.keptHeads(2, { after: 0n, limit: 50 }));
  await same('a page of owned', (from) => from.ownedHeads(2, { after: logs[2] as bigint, limit: 2 }));
  const pages = [{}, { before: 3 }, { before: 100 }, { from: 1 }, { from: 2 }];
  for (const user of own) {
    await same('the list', (from) => from.listUserLogs(user, { after: 0n, limit: 50 }));
    await same('some of the list', (from) => from.userLogs(user, logs.slice(0, 4)));
    await same('how many', (from) => from.countLogs(user));
    for (const log of logs) {
      for (const page of pages) await same(`a page of ${user}`, (from) => from.readPage(user, { log, limit: 3, ...page }));
      await same('pending', (from) => from.pendingOf({ a: log, b: 0n }, user, 50));
    }
  }
  for (const log of logs) {
    const from = 1 + (here.cell.logs.get(log)?.start ?? 0);
    await same('the beginning', (store) => store.readRange(log, from, Number.MAX_SAFE_INTEGER, 3));
    await same('what follows it', (store) => store.readRange(log, from + 2, from + 4, 3));
  }
  const ranges = logs.flatMap((log) => {
    const first = 1 + (here.cell.logs.get(log)?.start ?? 0);
    return [
      { log, first, last: first + 1 },
      { log, first: first + 2, last: first + 2 },
    ];
  });
  await same('ranges of all', (from) => from.readRanges([...ranges, { log: 7n, first: 1, last: 2 }]));
}

/** Marks that newer epochs began below: what the list says of them, for epochs and marks as they may come. */
async function compareStanding(here: Model, store: CellStore, of: { real: StoreCell; users: readonly bigint[] }): Promise<void> {
  // One after another, as on the session of a lane.
  let last: ReturnType<Query> | undefined;
  const query: Query = (statement) => {
    const before = last;
    last = Promise.resolve(before).then(() => of.real.pool.query(statement));
    return last;
  };
  const random = seededRandom(5);
  let below = 0;
  for (const stored of here.cell.logs.values()) {
    const { log, head } = stored.row;
    const bases = [0, ...[1, 2].map(() => random.int(head + 1))].sort((a, b) => a - b).slice(0, 1 + random.int(3));
    const epochs = bases.map((base, at) => ({ epoch: BigInt(2 * (at + 1)), base }));
    stored.state = { ...stored.state, epochs };
    stored.row = { ...stored.row, epoch: epochs.at(-1)?.epoch ?? 0n };
    await Promise.all(writeEpochs(query, [{ log, epochs }]));
    const marks = of.users.map((user): Mark => {
      const [seenEpoch, seen] = [BigInt(random.int(8)), random.int(head + 3)];
      below += clampedSeq(epochs, { epoch: seenEpoch, seq: seen }) < seen ? 1 : 0;
      return { log, user, deliveredEpoch: seenEpoch, delivered: seen, seenEpoch, seen };
    });
    for (const mark of await mergeMarks(query, marks)) here.cell.marks.set(`${log}:${mark.user}`, mark);
  }
  assert.ok(below > 0, 'some marks stand below where they were set');
  const logs = [...here.cell.logs.keys()];
  for (const user of of.users) {
    const lists = (from: CellStore) => Promise.all([from.listUserLogs(user, { after: 0n, limit: 50 }), from.userLogs(user, logs)]);
    assert.deepEqual(plain(await here.ask(lists(here.store))), plain(await lists(store)), `what ${user} has seen`);
  }
}

test('the store in memory finds and leaves what the real one does', async () => {
  await using real = await StoreCell.open(postgres, 'model');
  const { store } = await real.node();
  const [here, there] = [new Model(1), new Model(2)];
  const users = [await real.person(), await real.person(), makeId(nowMs, 2, 0, 0), makeId(nowMs + 1, 2, 0, 0)];
  for (const user of users) (birthCell(user) === 1 ? here : there).addSelfLog(user);
  const script = new Script(here.cell, there.cell, users);
  let reopened = 0;
  for (let i = 0; i < batches; i++) {
    await there.ask(run(there.store, script.batch(2), { cell: 2, from: i * 1_000 }));
    const batch = script.batch(1);
    const found = await here.ask(run(here.store, batch, { cell: 1, from: i * 1_000 }));
    const expected = await run(store, batch, { cell: 1, from: i * 1_000 });
    assert.deepEqual(plain(found), plain(expected), `batch ${i}`);
    reopened += found.writes.reopened.length;
  }
  for (const { row, entries } of here.cell.logs.values()) {
    const [mine, theirs] = [await here.ask(here.store.readRow(row.log)), await store.readRow(row.log)];
    assert.deepEqual(plain(mine), plain(theirs));
    // The one keeps what proves each entry, the other proves it anew from its check points.
    const from = 1 + (theirs?.start ?? 0);
    assert.deepEqual(
      plain(await here.ask(here.store.readRange(row.log, from, row.head, 1_000))),
      plain(await store.readRange(row.log, from, row.head, 1_000)),
    );
    assert.ok(entries.size > 0 || row.head === 0);
  }
  const later = nowMs + 10_000_000_000;
  assert.deepEqual(plain(await here.ask(here.store.openIntake(2, later, 99))), plain(await store.openIntake(2, later, 99)));
  assert.deepEqual(plain(await here.ask(here.store.unacknowledged(2, later, 999))), plain(await store.unacknowledged(2, later, 999)));
  assert.deepEqual(plain(await here.ask(here.store.behind(99))), plain(await store.behind(99)));
  assert.ok(reopened > 0 && here.cell.intake.size > 0 && here.cell.outboxOf(2).size > 10, 'the script met every table');
  await compareReads(here, store, users);
  await compareStanding(here, store, { real, users: users.filter((user) => birthCell(user) === 1) });
});
