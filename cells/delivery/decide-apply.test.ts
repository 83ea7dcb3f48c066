import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Chain } from '@weft/proto/chain.ts';
import { MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { hashOf } from './chain-of.ts';
import { type Entry, kinds } from './entry.ts';
import type { ApplyOperation, Outcome } from './operations.ts';
import { foldState } from './snapshot.ts';
import { groupOf, StagedCell, text, userOf } from './staged-cell.ts';

const ana = userOf(1, 1);
const [bo, bea] = [userOf(2, 2), userOf(2, 3)];

let owner: StagedCell;
let cell: StagedCell;
let log: bigint;

const accept = (outcome: Outcome | undefined): Entry =>
  outcome?.type === 'accepted' ? outcome.entry : assert.fail(JSON.stringify(outcome));
const run = (from: number, to = Number.POSITIVE_INFINITY, more: Partial<ApplyOperation> = {}): ApplyOperation => ({
  type: 'apply',
  src: 1,
  log,
  entries: owner.logEntries(log).filter(({ seq }) => seq >= from && seq <= to),
  ...more,
});
const members = (clientEntryId: bigint, change: { add?: bigint; remove?: bigint }): void => {
  const added = change.add !== undefined;
  accept(
    owner.decide({
      ...text({ log }, ana, clientEntryId),
      kind: added ? kinds.membersAdded : kinds.membersRemoved,
      body: added
        ? MembersAdded.encode({ members: [{ user: change.add as bigint, home: 2, from: 0n }] }).finish()
        : MembersRemoved.encode({ users: [change.remove as bigint] }).finish(),
    })[0],
  );
};
const write = (...ids: readonly bigint[]): void => {
  for (const id of ids) accept(owner.decide(text({ log }, ana, id))[0]);
};
const heads = (): number | undefined => cell.rows.get(log)?.head;

beforeEach(() => {
  owner = new StagedCell(1, [ana]);
  ({ log } = accept(owner.decide(groupOf(ana, [bo]))[0]));
  cell = new StagedCell(2, [bo, bea]);
  cell.decide(run(1));
});

test('the first entry opens the replica and lists the log for the members here', () => {
  assert.equal(heads(), 1);
  assert.deepEqual(cell.userLogs.get(`${bo}:${log}`), { user: bo, log, from: 1, until: 0 });
  assert.equal(cell.userLogs.has(`${ana}:${log}`), false);
});

test('what lies beyond the head is noted, not stored', () => {
  write(2n, 3n, 4n);
  assert.deepEqual(cell.decide(run(3)), [{ type: 'applied', head: 1, behind: true }]);
  assert.deepEqual(cell.writes?.behind, [{ log, epoch: owner.rows.get(log)?.epoch, known: 4, src: 1 }]);
  assert.equal(cell.logEntries(log).length, 1);
  assert.deepEqual(cell.decide(run(2)), [{ type: 'applied', head: 4, behind: false }]);
  assert.deepEqual(cell.writes?.caughtUp, [{ log, epoch: owner.rows.get(log)?.epoch, head: 4 }]);
});

test('the same again changes nothing', () => {
  write(2n);
  cell.decide(run(1));
  assert.deepEqual(cell.decide(run(1)), [{ type: 'applied', head: 2, behind: false }]);
  assert.deepEqual([cell.writes?.entries, cell.writes?.rows], [[], []]);
});

test('a frame may name an old entry behind a new one: both are stored', () => {
  write(2n, 3n);
  const { entries, ...rest } = run(2);
  assert.deepEqual(cell.decide({ ...rest, entries: entries.toReversed() }), [{ type: 'applied', head: 3, behind: false }]);
  assert.equal(cell.logEntries(log).length, 3);
});

test('what the owner decided while this cell was out of the log is kept for its author, below the run', () => {
  accept(owner.decide({ ...text({ log }, bo, 50n) })[0]);
  members(2n, { remove: bo });
  write(3n);
  members(4n, { add: bo });
  const back = owner.logEntries(log).at(-1)?.seq ?? 0;
  cell.decide(run(back, back, { snapshot: snapshotBefore(back), leaving: [bo] }));
  assert.equal(heads(), back);
  cell.decide(run(2, 2));
  assert.deepEqual(
    cell.writes?.entries.map(({ seq }) => seq),
    [2],
  );
  assert.equal(heads(), back, 'the run goes on where it was');
  const [again] = cell.decide(text({ log }, bo, 50n));
  assert.deepEqual(again?.type === 'accepted' && [again.entry.seq, again.fresh], [2, false]);
});

test('another entry at a stored place is a fork: the log is frozen', () => {
  write(2n);
  cell.decide(run(1));
  const forged = run(2).entries.map((entry) => ({ ...entry, clientEntryId: 99n }));
  assert.deepEqual(cell.decide(run(2, 2, { entries: forged })), [{ type: 'rejected', why: 'fork' }]);
  assert.equal(cell.rows.get(log)?.status, 'frozen');
});

test('an entry whose prev is not the hash of the head is a fork: the log is frozen, and nothing of it is stored', () => {
  write(2n, 3n);
  const rewritten = run(2, 2).entries.map((entry) => ({ ...entry, body: Buffer.from('other words') }));
  assert.deepEqual(cell.decide(run(2, 2, { entries: rewritten })), [{ type: 'applied', head: 2, behind: false }], 'nothing tells yet');
  assert.deepEqual(cell.decide(run(3)), [{ type: 'rejected', why: 'fork' }]);
  assert.deepEqual([cell.rows.get(log)?.status, heads()], ['frozen', 2]);
});

test('an entry that comes without its prev is not stored, and says nothing about what is', () => {
  write(2n);
  const bare = run(2).entries.map(({ prev: _, ...entry }) => entry);
  assert.deepEqual(cell.decide(run(2, 2, { entries: bare })), [{ type: 'rejected', why: 'unusable' }]);
  assert.deepEqual([cell.rows.get(log)?.status, heads()], ['open', 1]);
  assert.deepEqual(cell.decide(run(2)), [{ type: 'applied', head: 2, behind: false }]);
});

test('replica and owner come to the same hash, and keep the same check points', () => {
  write(...Array.from({ length: 70 }, (_, i) => BigInt(2 + i)));
  cell.decide(run(2));
  assert.deepEqual(cell.rows.get(log)?.hash, owner.rows.get(log)?.hash);
  const [point, ...more] = cell.writes?.checkPoints ?? [];
  assert.deepEqual([point?.seq, more.length], [64, 0]);
  assert.deepEqual(point?.hash, run(65, 65).entries[0]?.prev);
});

test("a stranger's entries are nothing at all: no store, no fork, no answer to what waits here", () => {
  write(2n);
  cell.decide(run(1));
  cell.decide(text({ log }, bo, 5n));
  const forged = run(1).entries.map((entry) => ({ ...entry, author: bo, clientEntryId: 5n }));
  assert.deepEqual(cell.decide(run(1, 2, { src: 3, entries: forged })), [{ type: 'rejected', why: 'not-owner' }]);
  assert.equal(cell.rows.get(log)?.status, 'open');
  assert.equal(cell.intake.size, 1);
});

test('an entry closes the append it came from when it is stored, and only in its own log', () => {
  cell.decide(text({ log }, bo, 5n), text({ pair: { low: ana, high: bo } }, bo, 5n));
  const [waiting] = [...cell.intake.values()];
  write(2n);
  owner.decide({ ...text({ log }, bo, 5n), type: 'intake', src: 2, generation: 1, stream: { a: log, b: 0n }, n: 1, lowestOpen: 0 });
  cell.decide(run(3));
  assert.equal(cell.intake.size, 2, 'it lies beyond the head');
  cell.decide(run(2));
  assert.equal(waiting?.log, log);
  assert.deepEqual(
    [...cell.intake.values()].map((row) => row.log),
    [0n],
  );
});

test('a state entry that cannot be understood freezes the log', () => {
  write(2n);
  const entries = run(2).entries.map((entry) => ({ ...entry, kind: 19 }));
  assert.deepEqual(cell.decide(run(2, 2, { entries })), [{ type: 'rejected', why: 'unusable' }]);
  assert.equal(cell.rows.get(log)?.status, 'frozen');
});

const snapshotBefore = (seq: number): NonNullable<ApplyOperation['snapshot']> => {
  const before = owner.logEntries(log).filter((entry) => entry.seq < seq);
  const state = foldState(before);
  const last = before.at(-1);
  assert.ok(state && last);
  const hash = hashOf(new Chain(sha256), last);
  assert.ok(hash);
  return { state, start: last.seq, ts: last.ts, ord: last.ord, hash, floor: 0 };
};

test('a snapshot opens a replica in the middle of a log', () => {
  write(2n, 3n);
  members(4n, { add: bea });
  const other = new StagedCell(2, [bea]);
  assert.deepEqual(other.decide(run(4)), [{ type: 'applied', head: 0, behind: true }]);
  other.decide(run(4, 9, { snapshot: snapshotBefore(4) }));
  assert.equal(other.rows.get(log)?.head, 4);
  assert.deepEqual(other.userLogs.get(`${bea}:${log}`), { user: bea, log, from: 4, until: 0 });
});

test('a cell that was out of the log begins anew where it comes back, and who left is told', () => {
  members(2n, { remove: bo });
  write(3n, 4n);
  members(5n, { add: bea });
  write(6n);
  assert.deepEqual(cell.decide(run(5)), [{ type: 'applied', head: 1, behind: true }], 'the removal never came');
  cell.decide(run(5, 9, { snapshot: snapshotBefore(5), leaving: [bo] }));
  assert.equal(heads(), 6);
  assert.deepEqual(cell.writes?.reopened, [{ log, start: 4 }]);
  assert.deepEqual([...(cell.states.get(log)?.members.keys() ?? [])].sort(), [ana, bea].sort());
  assert.notEqual(cell.userLogs.get(`${bo}:${log}`)?.until, 0);
  assert.deepEqual(cell.userLogs.get(`${bea}:${log}`), { user: bea, log, from: 5, until: 0 });
  assert.equal(cell.states.get(log)?.version, owner.states.get(log)?.version);
});

test('a snapshot that brings nothing new changes nothing', () => {
  write(2n);
  cell.decide(run(1));
  cell.decide(run(2, 2, { snapshot: snapshotBefore(2) }));
  assert.deepEqual(cell.writes?.reopened, []);
  assert.equal(heads(), 2);
});

test('poison content keeps its place as an unreadable entry, and the same run again is nothing new', () => {
  write(2n, 3n);
  assert.deepEqual(cell.decide(run(2, 2, { poisoned: true })), [{ type: 'applied', head: 2, behind: false }]);
  const [sent, stored] = [owner.logEntries(log)[1] as Entry, cell.logEntries(log)[1]];
  assert.deepEqual(stored, { ...sent, flags: 3, body: new Uint8Array(), bodyHash: sha256(sent.body) });
  assert.deepEqual(cell.decide(run(2)), [{ type: 'applied', head: 3, behind: false }]);
  assert.equal(cell.rows.get(log)?.status, 'open');
});

test('a poison state entry freezes the log; one that would open it opens nothing', () => {
  members(2n, { add: bea });
  assert.deepEqual(cell.decide(run(2, 2, { poisoned: true })), [{ type: 'rejected', why: 'unusable' }]);
  assert.deepEqual([cell.rows.get(log)?.status, heads()], ['frozen', 1]);
  const other = new StagedCell(2, [bo]);
  assert.deepEqual(other.decide(run(1, 1, { poisoned: true })), [{ type: 'rejected', why: 'unusable' }]);
  assert.equal(other.rows.has(log), false);
});
