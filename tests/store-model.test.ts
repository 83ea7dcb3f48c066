// Holds the simulation's log store to the real one: the same batches, decided over both, must find the same and leave the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hashOf } from '@weft/cells/delivery/chain-of.ts';
import { decide } from '@weft/cells/delivery/decide.ts';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { keysOf } from '@weft/cells/delivery/keys-of.ts';
import { groupPair, pairKey, pairOf } from '@weft/cells/delivery/log-state.ts';
import type { AppendOperation, Operation, Target } from '@weft/cells/delivery/operations.ts';
import type { LogStore } from '@weft/cells/delivery/ports.ts';
import { foldState } from '@weft/cells/delivery/snapshot.ts';
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
  readonly store: LogStore;
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
    const base = { type: 'append' as const, author, session: 1n, clientEntryId: id, body: Buffer.from(`text ${id}`) };
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
  assert.ok(reopened > 0 && here.cell.intake.size > 0 && here.cell.outbox.size > 10, 'the script met every table');
});
