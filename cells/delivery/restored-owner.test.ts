// An owner whose store was taken back while a replica knows more: with what guards its log, and with that switched off (R25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { Envelope, PullAnswer } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { countByDirectory, type EpochStart, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import { type Entry, kinds } from './entry.ts';
import { groupPair, type LogState } from './log-state.ts';
import { ana, bo, cy, OwnedLog } from './owned-log.ts';
import type { LogRow } from './ports.ts';
import { PullServer } from './pull-server.ts';
import { chain, groupOf, intakeOf, StagedCell, text, userOf } from './staged-cell.ts';

/** The owner gave three entries, all of which its replica has, and was restored to a backup with two. */
class Restored {
  readonly replica = new StagedCell(2, [bo]);
  readonly owner: StagedCell;
  readonly log: bigint;

  constructor() {
    const lost = new StagedCell(1, [ana]);
    const [created] = lost.decide(groupOf(ana, [bo]));
    this.log = (created as { entry: Entry }).entry.log;
    lost.decide(text({ log: this.log }, ana, 2n));
    this.owner = lost.backup([ana]);
    lost.decide(text({ log: this.log }, ana, 3n));
    this.replica.decide({ type: 'apply', src: 1, log: this.log, entries: lost.logEntries(this.log) });
  }

  /** What the owner says now, and what becomes of it at the replica. */
  say(id: bigint) {
    this.owner.decide(text({ log: this.log }, ana, id));
    const head = this.replica.rows.get(this.log)?.head ?? 0;
    const entries = this.owner.logEntries(this.log).filter(({ seq }) => seq >= head);
    return entries.length === 0 ? undefined : this.replica.decide({ type: 'apply', src: 1, log: this.log, entries })[0];
  }

  status(of: 'owner' | 'replica'): string | undefined {
    return this[of].rows.get(this.log)?.status;
  }
}

const notices = (cell: StagedCell): unknown[] =>
  (cell.writes?.outbox ?? []).flatMap(({ dst, envelopes }) => envelopes.map((bytes) => [dst, Envelope.decode(bytes).notice?.$case]));

test('a stopped log gives no seq before its tail is back, and both cells have one history', () => {
  const r = new Restored();
  const { owner, replica, log } = r;
  owner.generation = 2;
  Object.assign(owner.rows.get(log) as object, { status: 'stopped' });
  assert.equal(r.say(4n), undefined);
  owner.decide({ type: 'apply', src: 2, log, entries: replica.logEntries(log).filter(({ seq }) => seq > 2), tail: true });
  owner.decide({ type: 'begin', log });
  owner.decide({ type: 'settle', log });
  assert.equal(r.status('owner'), 'open');
  assert.equal(r.say(5n)?.type, 'applied');
  const ids = (cell: StagedCell): bigint[] => cell.logEntries(log).map(({ clientEntryId }) => clientEntryId);
  assert.deepEqual(ids(owner), ids(replica));
  assert.deepEqual(
    [3n, 4n, 5n].map((id) => ids(owner).includes(id)),
    [true, true, true],
  );
});

test('restored a second time, it takes back what it gave in the epoch that it began after the first', () => {
  const r = new Restored();
  const { owner, replica, log } = r;
  const lose = (generation: number): void => {
    owner.generation = generation;
    Object.assign(owner.rows.get(log) as object, { status: 'stopped' });
  };
  const giveBack = (): void => {
    const entries = replica.logEntries(log).filter(({ seq }) => seq > 2);
    owner.decide({ type: 'apply', src: 2, log, entries, tail: true });
    owner.decide({ type: 'begin', log });
    owner.decide({ type: 'settle', log });
  };
  const backup = { row: { ...owner.rows.get(log) }, state: owner.states.get(log), entries: [...owner.entries] };
  lose(2);
  giveBack();
  assert.equal(r.say(5n)?.type, 'applied');
  owner.rows.set(log, backup.row as never);
  owner.states.set(log, backup.state as never);
  owner.entries.splice(0, owner.entries.length, ...backup.entries);
  lose(3);
  giveBack();
  assert.equal(r.status('owner'), 'open');
  assert.equal(r.say(6n)?.type, 'applied');
  const ids = (cell: StagedCell): bigint[] => cell.logEntries(log).map(({ clientEntryId }) => clientEntryId);
  assert.deepEqual(ids(owner), ids(replica));
  assert.ok(ids(owner).includes(5n));
});

test('a tail leads through epochs of others to one of this cell’s own, which it has forgotten', () => {
  const f = new OwnedLog();
  f.give(1, 2);
  f.say(2);
  f.follow(1, 3);
  f.follow(2, 3);
  f.takeOver(3, 2);
  f.follow(3, 2);
  const all = f.cell(2).logEntries(f.log);
  const told = f.cell(2).states.get(f.log)?.epochs as readonly EpochStart[];
  // Restored to before it had the log, which was born in another cell: the list tells that it leads here.
  const restored = new StagedCell(3, [cy]);
  restored.generation = 2;
  const tail = { type: 'apply', src: 2, log: f.log, entries: all, tail: true } as const;
  assert.equal(restored.decide(tail)[0]?.type, 'rejected');
  assert.equal(restored.decide({ ...tail, told })[0]?.type, 'applied');
  const { head, status } = restored.rows.get(f.log) as LogRow;
  assert.deepEqual([head, status], [all.length, 'stopped']);
  assert.deepEqual(restored.states.get(f.log)?.epochs, told);
});

test('what waits at a replica is decided behind what it holds of the epoch that the restore ended', () => {
  const f = new OwnedLog();
  const owner = f.cell(1);
  const backup = { row: { ...owner.rows.get(f.log), status: 'stopped' }, state: owner.states.get(f.log), entries: [...owner.entries] };
  const lost = f.say(3);
  f.decideIntake(3);
  const waiting = f.say(3);
  owner.rows.set(f.log, backup.row as never);
  owner.states.set(f.log, backup.state as never);
  owner.entries.splice(0, owner.entries.length, ...backup.entries);
  owner.generation = 2;
  owner.decide({ type: 'begin', log: f.log });
  owner.decide({ type: 'settle', log: f.log });
  const [row] = [...f.cell(3).intake.values()];
  assert.ok(row?.clientEntryId === waiting);
  const sent = { ...intakeOf(row, 3, row.n), epoch: f.cell(3).rows.get(f.log)?.epoch as bigint };
  assert.equal(owner.decide(sent)[0]?.type, 'stale');
  assert.ok(f.notices(1).some(({ notice }) => notice?.$case === 'stale' && notice.value.owner === 1));
  f.pull(1, 3, 2);
  f.decideIntake(3);
  const ids = owner.logEntries(f.log).map(({ clientEntryId }) => clientEntryId);
  assert.deepEqual(ids.slice(-2), [lost, waiting]);
});

test('what a cell heard of before the log was there, and a restore took, does not keep it behind in the epoch in which it opens it', () => {
  const owner = new StagedCell(1, [ana]);
  const cell = new StagedCell(2, [bo]);
  const { log } = (owner.decide(groupOf(ana, []))[0] as { entry: Entry }).entry;
  const body = MembersAdded.encode({ members: [{ user: bo, home: 2, from: 0n }] }).finish();
  const [first] = owner.logEntries(log) as [Entry];
  cell.decide({ type: 'apply', src: 1, log, entries: [{ ...first, seq: 12, kind: kinds.membersAdded, body }] });
  assert.deepEqual(cell.writes?.behind, [{ log, epoch: first.epoch, known: 12, src: 1 }]);
  owner.generation = 2;
  Object.assign(owner.rows.get(log) as object, { status: 'stopped' });
  owner.decide({ type: 'begin', log });
  owner.decide({ type: 'settle', log });
  const at = { state: owner.states.get(log) as LogState, ...(owner.rows.get(log) as LogRow), start: 2, floor: 0 };
  owner.decide({ ...text({ log }, ana, 5n), kind: kinds.membersAdded, body });
  const { epochs } = at.state;
  cell.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log).slice(2), snapshot: at, epochs });
  assert.equal(cell.rows.get(log)?.head, 3);
  const epoch = owner.rows.get(log)?.epoch ?? 0n;
  assert.ok(epoch > first.epoch);
  assert.deepEqual(cell.writes?.caughtUp, [{ log, epoch, head: 3 }]);
});

test('where a new epoch begins, who keeps the log and has nobody in it any more is told so', () => {
  const { owner, log } = new Restored();
  owner.generation = 2;
  Object.assign(owner.rows.get(log) as object, { status: 'stopped' });
  owner.decide({ type: 'begin', log, keepers: [2, 3] });
  assert.deepEqual(notices(owner), [[3, 'stale']]);
});

test('so is who kept more of it, of a time in which it had somebody there once more', () => {
  const { owner, log } = new Restored();
  owner.decide({ ...text({ log }, ana, 5n), kind: kinds.membersRemoved, body: MembersRemoved.encode({ users: [bo] }).finish() });
  owner.generation = 2;
  Object.assign(owner.rows.get(log) as object, { status: 'stopped' });
  owner.decide({ type: 'begin', log, keepers: [2] });
  assert.deepEqual(notices(owner), [[2, 'stale']]);
});

test('without that, it gives a seq anew that its replica has already, and the replica freezes the log', () => {
  const r = new Restored();
  assert.deepEqual(r.say(4n), { type: 'rejected', why: 'fork' });
  assert.equal(r.status('replica'), 'frozen');
});

test('a restored store opens nothing with people whose cell may know the log already', () => {
  const owner = new StagedCell(1, [ana]);
  owner.lacking.add(2);
  const outcome = (): unknown => owner.decide(groupOf(ana, [bo]))[0];
  assert.deepEqual(outcome(), { type: 'fault', code: 'busy', afterMs: 1_000 });
  owner.lacking.clear();
  assert.equal((outcome() as { type: string }).type, 'accepted');
});

test('it refuses nothing for good that may have come after the backup', () => {
  const home = new StagedCell(2, [bo]);
  home.lacking.add(1);
  const codes = (): unknown => home.decide(text({ log: userOf(1, 9) }, bo, 5n)).map((each) => each.type === 'fault' && each.code);
  assert.deepEqual(codes(), ['busy']);
  home.lacking.clear();
  assert.deepEqual(codes(), ['unknown_log']);
});

test('nor does it say to another cell that there is no such log', async () => {
  const said = async (isWhole: boolean): Promise<unknown> => {
    const server = new PullServer({
      cell: 1,
      store: { readRow: async () => undefined } as never,
      limits: { pullEntriesMax: 1, pullBytesMax: 1 },
      toWire: () => assert.fail('there is no entry'),
      chain,
      refused: () => assert.fail('it is no offence to ask'),
      isWhole: () => isWhole,
    });
    const { result } = PullAnswer.decode(await server.answer(2, { log: 5n, from: 1n, to: 1n, snapshot: false, epoch: 0n }));
    return result?.$case === 'fault' ? [result.value.code, result.value.retry] : result;
  };
  assert.deepEqual(await Promise.all([said(false), said(true)]), [
    ['busy', 'RETRY_LATER'],
    ['unknown_log', 'RETRY_NEVER'],
  ]);
});

test('after a restore a log takes appends as intake only, until it begins an epoch at the head found', () => {
  const f = new OwnedLog();
  const owner = f.cell(1);
  owner.generation = 2;
  Object.assign(owner.rows.get(f.log) as object, { status: 'stopped' });
  const said = f.say(1);
  assert.equal(owner.rows.get(f.log)?.head, 2, 'no seq');
  assert.equal([...owner.intake.values()][0]?.clientEntryId, said);
  f.say(3);
  const [row] = [...f.cell(3).intake.values()];
  assert.equal(owner.decide(intakeOf(row as never, 3))[0]?.type, 'early');
  assert.equal(owner.decide({ type: 'begin', log: f.log })[0]?.type, 'applied');
  assert.deepEqual(epochParts(owner.rows.get(f.log)?.epoch ?? 0n), { count: 257, cell: 1, generation: 2 });
  f.decideIntake(1);
  owner.decide({ type: 'settle', log: f.log });
  f.follow(1, 3);
  f.decideIntake(3);
  assert.deepEqual(f.shown(3), f.shown(1));
});

test('a restored owner takes back what its replicas hold, before anything else', () => {
  const f = new OwnedLog();
  const restored = new StagedCell(1, [ana]);
  restored.decide({ type: 'apply', src: 3, log: f.log, entries: f.cell(1).logEntries(f.log), tail: true });
  assert.equal(restored.rows.get(f.log)?.status, 'stopped');
  assert.equal(restored.rows.get(f.log)?.head, 2);
});

test('an owner that hears of a replica ahead of it in the same epoch stops', () => {
  const f = new OwnedLog();
  const { epoch, head } = f.cell(1).rows.get(f.log) as { epoch: bigint; head: number };
  f.cell(1).decide({ type: 'stop', log: f.log, epoch: epoch + 1n, head: head + 1 });
  f.cell(1).decide({ type: 'stop', log: f.log, epoch, head });
  assert.equal(f.cell(1).rows.get(f.log)?.status, 'open', 'of another epoch, or not ahead');
  f.cell(1).decide({ type: 'stop', log: f.log, epoch, head: head + 1 });
  assert.equal(f.cell(1).rows.get(f.log)?.status, 'stopped');
});

test('a self log goes on in an epoch of its own once the store has another generation', () => {
  const f = new OwnedLog();
  f.cell(1).generation = 2;
  f.cell(1).decide({ ...groupOf(ana, [bo]), target: { pair: groupPair(ana, 2n) }, clientEntryId: 2n });
  const self = f.cell(1).logEntries(ana);
  assert.deepEqual(
    self.map((e) => [e.seq, e.kind, epochParts(e.epoch).generation]),
    [
      [1, kinds.logJoined, 1],
      [2, kinds.takeover, 2],
      [3, kinds.logJoined, 2],
    ],
  );
});

test('a removal that a restore brings back is told anew, under an id of its own', () => {
  const f = new OwnedLog();
  const body = MembersRemoved.encode({ users: [cy] }).finish();
  f.cell(1).decide({ ...text({ log: f.log }, ana, 7n), kind: kinds.membersRemoved, body });
  f.follow(1, 3);
  f.takeOver(2, 3);
  f.pull(2, 3, 2);
  const signed = { epoch: makeEpoch({ count: countByDirectory(countByDirectory(2)), cell: 1, generation: 1 }), owner: 1 };
  for (const cell of [1, 3]) f.cell(cell).takeovers.set(f.log, signed);
  f.cell(1).decide({ type: 'begin', log: f.log });
  assert.equal(f.pull(1, 3, 2)?.type, 'applied');
  const told = f.cell(3).logEntries(cy).slice(-3);
  assert.deepEqual(
    told.map(({ kind }) => kind),
    [kinds.logLeft, kinds.logJoined, kinds.logLeft],
  );
  assert.equal(new Set(told.map(({ clientEntryId }) => clientEntryId)).size, 3);
});
