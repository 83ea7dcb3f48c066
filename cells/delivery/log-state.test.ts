import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { type Entry, kinds } from './entry.ts';
import { type LogState, membershipChange, stateAfter, stateAfterCreation } from './log-state.ts';

const [ana, bo, bea, cy] = [11n, 21n, 22n, 31n];
const homes = new Map([
  [ana, 1],
  [bo, 2],
  [bea, 2],
  [cy, 3],
]);
const memberOf = (user: bigint): { user: bigint; home: number; from: bigint } => ({ user, home: homes.get(user) ?? 0, from: 0n });

const entry = (seq: number, kind: number, body: Uint8Array): Entry => ({
  log: 7n,
  epoch: makeEpoch({ count: 1, cell: 1, generation: 1 }),
  seq,
  ts: 0,
  author: ana,
  clientEntryId: BigInt(seq),
  ord: 0,
  kind,
  flags: 0,
  body,
});
const created = (kind: 'LOG_KIND_GROUP' | 'LOG_KIND_DIRECT', users: readonly bigint[]): LogState | undefined =>
  stateAfterCreation(entry(1, kinds.created, Created.encode({ kind, title: 'x', membersMax: 9, members: users.map(memberOf) }).finish()));
const add = (seq: number, user: bigint): Entry =>
  entry(seq, kinds.membersAdded, MembersAdded.encode({ members: [memberOf(user)] }).finish());
const remove = (seq: number, ...users: bigint[]): Entry => entry(seq, kinds.membersRemoved, MembersRemoved.encode({ users }).finish());

function fold(state: LogState | undefined, ...entries: Entry[]): LogState {
  const end = entries.reduce((before, each) => before && stateAfter(before, each), state);
  assert.ok(end);
  return end;
}
const cellsOf = (state: LogState): Record<number, string> =>
  Object.fromEntries([...state.cells].map(([cell, { from, until }]) => [cell, `${from}-${until || ''}`]));

test('a cell gets a log from the entry that brought its first member', () => {
  assert.deepEqual(cellsOf(fold(created('LOG_KIND_GROUP', [ana, bo]), add(5, cy), add(6, bea))), { 1: '1-', 2: '1-', 3: '5-' });
});

test('the entry that takes its last member is the last a cell gets', () => {
  const state = fold(created('LOG_KIND_GROUP', [ana, bo, bea]), remove(4, bo));
  assert.deepEqual(cellsOf(state), { 1: '1-', 2: '1-' });
  assert.deepEqual(cellsOf(fold(state, remove(6, bea))), { 1: '1-', 2: '1-6' });
});

test('a cell that comes back gets the log from there', () => {
  const gone = fold(created('LOG_KIND_GROUP', [ana, bo]), remove(4, bo));
  assert.deepEqual(cellsOf(fold(gone, add(9, cy))), { 1: '1-', 2: '1-4', 3: '9-' });
  assert.deepEqual(cellsOf(fold(gone, add(9, bea))), { 1: '1-', 2: '9-' });
});

test('every change of members is one version; who is in already keeps the first seq', () => {
  const state = fold(created('LOG_KIND_GROUP', [ana, bo]), add(3, bo), add(4, cy));
  assert.equal(state.version, 3);
  assert.deepEqual([state.members.get(bo)?.from, state.members.get(cy)?.from], [1, 4]);
});

test('a direct conversation has exactly two', () => {
  assert.equal(created('LOG_KIND_DIRECT', [ana]), undefined);
  assert.equal(created('LOG_KIND_DIRECT', [ana, bo, cy]), undefined);
  const state = created('LOG_KIND_DIRECT', [bo, ana]);
  assert.deepEqual([state?.low, state?.high], [ana, bo]);
});

test('what cannot be understood gives no state', () => {
  const state = created('LOG_KIND_GROUP', [ana]);
  assert.ok(state);
  assert.equal(stateAfter(state, entry(2, kinds.membersAdded, Buffer.from([0xff, 0xff]))), undefined);
  assert.equal(stateAfter(state, entry(2, 19, new Uint8Array())), undefined);
  assert.equal(stateAfterCreation(entry(1, kinds.created, Buffer.from([0x0a, 0xff]))), undefined);
});

test('who joined and who left is told between any two states', () => {
  const before = created('LOG_KIND_GROUP', [ana, bo]);
  const after = fold(before, remove(2, bo), add(3, cy));
  assert.deepEqual(membershipChange(before, after), { joined: [cy], left: [bo] });
  assert.deepEqual(membershipChange(undefined, after), { joined: [ana, cy], left: [] });
});
