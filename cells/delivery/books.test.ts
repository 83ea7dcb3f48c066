import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain } from '@weft/proto/chain.ts';
import { MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { laneOf } from '@weft/proto/ids.ts';
import { countByDirectory, makeEpoch } from '@weft/proto/positions.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { countsOf } from './books.ts';
import { hashOf } from './chain-of.ts';
import { type Entry, kinds } from './entry.ts';
import type { LogState } from './log-state.ts';
import type { AppendOperation, ApplyOperation, Operation } from './operations.ts';
import type { LogRow, OutboxRow } from './ports.ts';
import { foldState } from './snapshot.ts';
import { groupOf, StagedCell, text, userOf } from './staged-cell.ts';

const own = makeEpoch({ count: 1, cell: 1, generation: 1 });
const foreign = makeEpoch({ count: 1, cell: 2, generation: 1 });
const nothing = { entries: [], outbox: [], intake: [], reopened: [] };
const entry = (log: bigint, epoch: bigint): Entry => ({
  ...{ log, epoch, seq: 2, ts: 1, author: 1n, clientEntryId: 1n, ord: 1, kind: 9, flags: 0, body: new Uint8Array() },
});
const frame = (dst: number, due?: number): OutboxRow => ({
  ...{ id: 1n, dst, class: 'e', lane: 2, ranges: [], envelopes: [] },
  ...(due === undefined ? {} : { due }),
});
const here = { cell: 1, lane: 2 };
const noRows = { rows: new Map<bigint, LogRow>(), states: new Map<bigint, LogState>(), above: () => [] };

test('what a frame brings for the first time is accepted for its destination, what it only brings again is not', () => {
  assert.deepEqual(countsOf({ ...nothing, outbox: [frame(2, 3), frame(2, 4), frame(3, 0), frame(3)] }, noRows, here), [
    { peer: 2, class: 'entries', what: 'accepted', lane: 2, n: 7 },
  ]);
});

test('entries of another cell’s epoch are applied, own ones are not', () => {
  const entries = [entry(10n, own), entry(11n, foreign), entry(11n, foreign)];
  assert.deepEqual(countsOf({ ...nothing, entries }, noRows, here), [
    { peer: 2, class: 'entries', what: 'applied', lane: laneOf(11n), n: 2 },
  ]);
});

test('a run that begins anew passes the places that were never due', () => {
  const row: LogRow = { log: 11n, epoch: foreign, head: 5, ts: 1, ord: 1, version: 1, status: 'open', hash: new Uint8Array() };
  assert.deepEqual(countsOf({ ...nothing, reopened: [{ log: 11n, start: 9 }] }, { ...noRows, rows: new Map([[11n, row]]) }, here), [
    { peer: 2, class: 'entries', what: 'applied', lane: laneOf(11n), n: 4 },
  ]);
});

test('a run that begins where an older one did counts nothing twice', () => {
  const row: LogRow = { log: 11n, epoch: foreign, head: 20, ts: 1, ord: 1, version: 1, status: 'open', hash: new Uint8Array() };
  const truncated = [{ log: 11n, base: 3, before: [], epochs: [] }];
  const known = { ...noRows, rows: new Map([[11n, row]]) };
  assert.deepEqual(countsOf({ ...nothing, truncated, reopened: [{ log: 11n, start: 0 }] }, known, here), []);
});

const ana = userOf(1, 1);
const [bo, bea] = [userOf(2, 2), userOf(2, 3)];
const cy = userOf(3, 4);

/** Two cells and what their books come to. */
class Ledger {
  readonly owner = new StagedCell(1, [ana]);
  readonly keeper = new StagedCell(2, [bo, bea]);
  readonly log: bigint;
  accepted = 0;
  applied = 0;
  #id = 1n;

  constructor() {
    this.decide(groupOf(ana, [bo]));
    this.log = this.owner.entries.find(({ kind }) => kind === kinds.created)?.log ?? 0n;
  }

  /** At the owner, in one transaction. */
  decide(...operations: readonly Operation[]): void {
    this.owner.decide(...operations);
    this.accepted += sumOf(countsOf(this.owner.writes ?? nothing, noRows, { cell: 1, lane: 0 }), 'accepted');
  }

  /** Takes what the owner has from one seq on; with a snapshot where the keeper's run cannot go on. */
  apply(from: number, opens = false): void {
    const rows = new Map([...this.keeper.rows].map(([log, row]) => [log, { ...row }]));
    const entries = this.owner.logEntries(this.log).filter(({ seq }) => seq >= from);
    const opening = opens ? { snapshot: this.#before(from), leaving: [bo, bea] } : {};
    this.keeper.decide({ type: 'apply', src: 1, log: this.log, entries, ...opening });
    this.applied += sumOf(countsOf(this.keeper.writes ?? nothing, { ...noRows, rows }, { cell: 2, lane: 0 }), 'applied');
  }

  write(): AppendOperation {
    this.#id += 1n;
    return text({ log: this.log }, ana, this.#id);
  }

  change(change: { add?: bigint; remove?: bigint }): AppendOperation {
    const members = [{ user: change.add ?? 0n, home: 2, from: 0n }];
    return change.add === undefined
      ? { ...this.write(), kind: kinds.membersRemoved, body: MembersRemoved.encode({ users: [change.remove ?? 0n] }).finish() }
      : { ...this.write(), kind: kinds.membersAdded, body: MembersAdded.encode({ members }).finish() };
  }

  #before(seq: number): NonNullable<ApplyOperation['snapshot']> {
    const before = this.owner.logEntries(this.log).filter((each) => each.seq < seq);
    const [state, last] = [foldState(before), before.at(-1)];
    assert.ok(state && last);
    const hash = hashOf(new Chain(sha256), last);
    assert.ok(hash);
    return { state, start: last.seq, ts: last.ts, ord: last.ord, hash, floor: 0 };
  }
}

const sumOf = (counts: ReturnType<typeof countsOf>, what: string): number =>
  counts.filter((count) => count.what === what).reduce((sum, { n }) => sum + n, 0);

test('both ends come to the same for a cell that left and came back, whether the last entries before had come or not', () => {
  for (const heard of [1, 2, 3]) {
    const ledger = new Ledger();
    ledger.apply(1);
    ledger.decide(ledger.write());
    if (heard > 1) ledger.apply(2);
    ledger.decide(ledger.change({ remove: bo }));
    if (heard > 2) ledger.apply(3);
    ledger.decide(ledger.write(), ledger.write());
    ledger.decide(ledger.change({ add: bea }), ledger.write());
    ledger.apply(6, true);
    assert.deepEqual([ledger.accepted, ledger.applied], [7, 7], `heard ${heard}`);
  }
});

test('both ends come to the same for a cell that left and came back within one transaction, or joined late', () => {
  const ledger = new Ledger();
  ledger.apply(1);
  ledger.decide(ledger.change({ remove: bo }), ledger.write(), ledger.change({ add: bea }));
  ledger.apply(4, true);
  assert.deepEqual([ledger.accepted, ledger.applied], [4, 4]);
  const late = new Ledger();
  late.apply(1);
  late.apply(1);
  late.decide(late.change({ add: bea }), late.write());
  late.apply(1);
  assert.deepEqual([late.accepted, late.applied], [3, 3]);
});

/** The books of three cells over one log. */
class Fabric {
  readonly cells = [new StagedCell(1, [ana]), new StagedCell(2, [bo]), new StagedCell(3, [cy])] as const;
  readonly log: bigint;
  readonly #sums = new Map<string, number>();

  constructor() {
    const [created] = this.decide(1, groupOf(ana, [bo, cy]));
    this.log = (created as { entry: Entry }).entry.log;
  }

  cell(number: number): StagedCell {
    return this.cells[number - 1] as StagedCell;
  }

  /** One transaction, and what it counts. */
  decide(number: number, operation: Operation) {
    const cell = this.cell(number);
    const [rows, states, before] = [
      new Map([...cell.rows].map(([log, row]) => [log, { ...row }])),
      new Map(cell.states),
      [...cell.entries],
    ];
    const outcomes = cell.decide(operation);
    const above = (log: bigint): Entry[] => before.filter((each) => each.log === log);
    for (const { peer, class: of, what, n } of countsOf(cell.writes ?? nothing, { rows, states, above }, { cell: number, lane: 0 })) {
      if (of !== 'entries') continue;
      const key = what === 'accepted' ? `${number}-${peer} accepted` : `${peer}-${number} ${what}`;
      this.#sums.set(key, (this.#sums.get(key) ?? 0) + n);
    }
    return outcomes;
  }

  tell(from: number, to: number, seqs: readonly number[]): void {
    const entries = this.cell(from)
      .logEntries(this.log)
      .filter(({ seq }) => seqs.includes(seq));
    this.decide(to, { type: 'apply', src: from, log: this.log, entries });
  }

  takeOver(to: number): void {
    const signed = { epoch: makeEpoch({ count: countByDirectory(1), cell: to, generation: 1 }), owner: to };
    for (const cell of this.cells) cell.takeovers.set(this.log, signed);
    this.decide(to, { type: 'begin', log: this.log });
  }

  /** A page from the new owner, where `cut` is what both agree on. */
  pull(from: number, to: number, cut: number): void {
    const all = this.cell(from).logEntries(this.log);
    const [state, last] = [foldState(all.filter(({ seq }) => seq <= cut)), all.find(({ seq }) => seq === cut)];
    const hash = last && hashOf(new Chain(sha256), last);
    assert.ok(state && last && hash);
    const snapshot = { state, start: cut, ts: last.ts, ord: last.ord, hash, floor: 0 };
    const epochs = this.cell(from).states.get(this.log)?.epochs ?? [];
    const isAbove = (this.cell(to).rows.get(this.log)?.head ?? 0) > cut;
    const entries = all.filter(({ seq }) => seq > cut);
    const page: ApplyOperation = { type: 'apply', src: from, log: this.log, entries, snapshot, epochs, leaving: [ana, bo, cy] };
    this.decide(to, isAbove ? { ...page, cut } : page);
    assert.equal(this.cell(to).rows.get(this.log)?.head, all.at(-1)?.seq);
  }

  link(src: number, dst: number): [number, number] {
    const n = (what: string): number => this.#sums.get(`${src}-${dst} ${what}`) ?? 0;
    return [n('accepted'), n('applied')];
  }
}

test('what a newer epoch gives up leaves the books at both ends, and what stands there now is counted', () => {
  const f = new Fabric();
  f.tell(1, 2, [1]);
  f.tell(1, 3, [1]);
  for (const id of [2n, 3n, 4n]) f.decide(1, text({ log: f.log }, ana, id));
  f.tell(1, 3, [2]);
  assert.deepEqual(
    [f.link(1, 2), f.link(1, 3)],
    [
      [4, 1],
      [4, 2],
    ],
  );
  f.takeOver(2);
  f.decide(2, { type: 'settle', log: f.log });
  f.decide(2, text({ log: f.log }, bo, 5n));
  f.pull(2, 1, 1);
  f.pull(2, 3, 1);
  for (const [src, dst, n] of [
    [1, 2, 1],
    [1, 3, 1],
    [2, 1, 2],
    [2, 3, 2],
  ] as const)
    assert.deepEqual(f.link(src, dst), [n, n], `${src} to ${dst}`);
});

test('what a restored owner takes back from a replica is accepted anew', () => {
  const f = new Fabric();
  f.tell(1, 2, [1]);
  f.decide(2, { type: 'apply', src: 1, log: f.log, entries: f.cell(1).logEntries(f.log) });
  const restored = new StagedCell(1, [ana]);
  restored.decide({ type: 'apply', src: 2, log: f.log, entries: f.cell(2).logEntries(f.log), tail: true });
  const counts = countsOf(restored.writes ?? nothing, noRows, { cell: 1, lane: 0 });
  assert.deepEqual(
    counts.map(({ peer, what, n }) => [peer, what, n]),
    [
      [2, 'accepted', 1],
      [3, 'accepted', 1],
    ],
  );
});
