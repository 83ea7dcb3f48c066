// How a restored owner gets its logs back, over cells that answer as real ones do (R25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import { MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { KeptAnswer, PullAnswer } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { countByDirectory, makeEpoch } from '@weft/proto/positions.ts';
import type { BehindLog } from './anti-entropy.ts';
import { hashOf } from './chain-of.ts';
import { type Entry, kinds } from './entry.ts';
import { ownerOf } from './log-state.ts';
import { ana, bo, cy, OwnedLog } from './owned-log.ts';
import type { LogRow } from './ports.ts';
import { foldState } from './snapshot.ts';
import { chain, groupOf, StagedCell, text } from './staged-cell.ts';
import { ownershipOf, serverOf } from './staged-ownership.ts';

/** A group that a restore took whole: cell 3 holds its first two entries, cell 2 what came since its first member joined. */
function lostGroup(): { log: bigint; others: [StagedCell, StagedCell]; all: readonly Entry[]; backup: StagedCell } {
  const lost = new StagedCell(1, [ana]);
  const [created] = lost.decide(groupOf(ana, [cy]));
  const { log } = (created as { entry: Entry }).entry;
  lost.decide(text({ log }, ana, 2n));
  const [late, early] = [new StagedCell(2, [bo]), new StagedCell(3, [cy])];
  early.decide({ type: 'apply', src: 1, log, entries: lost.logEntries(log) });
  const backup = new StagedCell(1, [ana]);
  backup.decide({ type: 'apply', src: 3, log, entries: lost.logEntries(log), tail: true });
  const before = { state: lost.states.get(log) as never, ...(lost.rows.get(log) as LogRow), start: 2, floor: 0 };
  const body = MembersAdded.encode({ members: [{ user: bo, home: 2, from: 0n }] }).finish();
  lost.decide({ ...text({ log }, ana, 3n), kind: kinds.membersAdded, body }, text({ log }, ana, 4n));
  const all = lost.logEntries(log);
  late.decide({ type: 'apply', src: 1, log, entries: all.slice(2), snapshot: before });
  assert.equal(late.rows.get(log)?.head, 4);
  return { log, others: [late, early], all, backup };
}

const idsIn = (cell: StagedCell, log: bigint): bigint[] => cell.logEntries(log).map(({ clientEntryId }) => clientEntryId);

test('a cell that was asked for its tail before another one gave what comes before it is asked again', async () => {
  const { log, others, all } = lostGroup();
  const owner = new StagedCell(1, [ana]);
  owner.generation = 2;
  await ownershipOf(owner, others, new Map()).run();
  assert.deepEqual(
    idsIn(owner, log).slice(0, 4),
    all.map(({ clientEntryId }) => clientEntryId),
  );
});

test('a node that did not ask what the others keep asks before a group goes on', async () => {
  const { log, others, all, backup } = lostGroup();
  backup.generation = 2;
  const back = new Map([
    [2, false],
    [3, false],
  ]);
  await ownershipOf(backup, others, back).run();
  assert.deepEqual(
    idsIn(backup, log).slice(0, 4),
    all.map(({ clientEntryId }) => clientEntryId),
  );
});

test('a group that a replica stopped goes on in a store that was never restored, with what each cell keeps', async () => {
  const { log, others, all } = lostGroup();
  const owner = new StagedCell(1, [ana]);
  owner.decide(groupOf(ana, [cy]));
  owner.decide(text({ log }, ana, 2n));
  owner.decide({ type: 'stop', log, epoch: all[0]?.epoch ?? 0n, head: 4 });
  assert.equal(owner.decide(text({ log }, ana, 5n))[0]?.type, 'pending');
  const ownership = ownershipOf(owner, others, new Map());
  await ownership.run();
  await ownership.run();
  assert.deepEqual(idsIn(owner, log).toSpliced(4, 1), [...all.map(({ clientEntryId }) => clientEntryId), 5n]);
  assert.equal(owner.rows.get(log)?.status, 'open');
});

/** Cell 1 gave a log to cell 2, which has said more since, and was restored to before that: it takes itself for the owner. */
function givenAway(): { readonly f: OwnedLog; readonly restored: StagedCell } {
  const f = new OwnedLog();
  const restored = new StagedCell(1, [ana]);
  restored.generation = 2;
  restored.decide({ type: 'apply', src: 2, log: f.log, entries: f.cell(1).logEntries(f.log), tail: true });
  f.give(1, 2, 3);
  f.say(2);
  f.follow(2, 3);
  return { f, restored };
}

/** What `of` holds more of than this cell, as the comparison of digests tells. */
const behindOf = (restored: StagedCell, of: StagedCell, log: bigint): BehindLog[] => {
  const [held, head] = [restored.rows.get(log)?.head ?? 0, of.rows.get(log)?.head ?? 0];
  const { epoch } = of.rows.get(log) as LogRow;
  return held < head && ownerOf({ epoch }) === of.number ? [{ log, epoch, held, head }] : [];
};

test('a restored cell that had given a log away learns it from the new owner, before it counts as having all back', async () => {
  const { f, restored } = givenAway();
  const back = new Map<number, boolean>();
  const compare = async (cell: number) => behindOf(restored, f.cell(cell), f.log);
  const ownership = ownershipOf(restored, [f.cell(2), f.cell(3)], back, { compare });
  for (let n = 0; n < 3; n++) await ownership.run();
  assert.deepEqual([...back.keys()].sort(), [2, 3]);
  const { head, epoch, status } = restored.rows.get(f.log) as LogRow;
  assert.deepEqual([head, epoch, status], [f.cell(2).rows.get(f.log)?.head, f.cell(2).rows.get(f.log)?.epoch, 'open']);
});

test('a restored cell lacks nothing of a log that it took over, though the owner before has not heard of that', async () => {
  const f = new OwnedLog();
  f.give(1, 2, 3);
  f.takeOver(1);
  const restored = f.cell(1).backup([ana]);
  restored.generation = 2;
  const { epoch, head } = f.cell(2).rows.get(f.log) as LogRow;
  const back = new Map<number, boolean>();
  const compare = async (cell: number) => (cell === 2 ? [{ log: f.log, epoch, head, held: 0 }] : []);
  const ownership = ownershipOf(restored, [f.cell(2), f.cell(3)], back, { compare });
  await ownership.run();
  assert.deepEqual([...back.keys()].sort(), [2, 3]);
});

test('nor of one that a third cell took over', async () => {
  const f = new OwnedLog();
  const { epoch, head } = f.cell(1).rows.get(f.log) as LogRow;
  f.takeOver(2, 3);
  f.follow(2, 3);
  const restored = f.cell(3).backup([cy]);
  restored.generation = 2;
  const back = new Map<number, boolean>();
  const compare = async (cell: number) => (cell === 1 ? [{ log: f.log, epoch, head, held: 0 }] : []);
  await ownershipOf(restored, [f.cell(1), f.cell(2)], back, { compare }).run();
  assert.deepEqual([...back.keys()].sort(), [1, 2]);
});

test('it does lack what it gave away, until the tail that says so is here', async () => {
  const { f, restored } = givenAway();
  const back = new Map<number, boolean>();
  const compare = async (cell: number) => behindOf(restored, f.cell(cell), f.log);
  const nothing = PullAnswer.encode({
    result: { $case: 'page', value: { entries: [], epochs: [], head: undefined, snapshot: undefined } },
  });
  const kept = KeptAnswer.encode({ heads: [], end: true });
  const link = { request: async (_: number, what: string) => (what === 'tail' ? nothing : kept).finish() };
  await ownershipOf(restored, [f.cell(2)], back, { compare, link }).run();
  assert.deepEqual([...back.keys()], []);
});

test('a restored cell takes no log over before it has back what others hold of it', async () => {
  const { f, restored } = givenAway();
  const signed = { epoch: makeEpoch({ count: countByDirectory(2), cell: 1, generation: 2 }), owner: 1 };
  restored.takeovers.set(f.log, signed);
  let isAway = true;
  const compare = async (cell: number) => {
    if (isAway) throw new WeftError('peer_away');
    return behindOf(restored, f.cell(cell), f.log);
  };
  const ownership = ownershipOf(restored, [f.cell(2), f.cell(3)], new Map(), { compare });
  ownership.given(f.log);
  await ownership.run();
  assert.notEqual(restored.rows.get(f.log)?.epoch, signed.epoch);
  isAway = false;
  for (let n = 0; n < 3; n++) await ownership.run();
  const ids = idsIn(restored, f.log);
  assert.deepEqual(ids.slice(0, -1), idsIn(f.cell(2), f.log));
  assert.equal(restored.rows.get(f.log)?.epoch, signed.epoch);
});

test('the directory’s word that came before the log did is heard when the log comes', async () => {
  const f = new OwnedLog();
  f.handOver(1, 2);
  const late = new StagedCell(2, [bo]);
  late.takeovers.set(f.log, { epoch: makeEpoch({ count: countByDirectory(2), cell: 3, generation: 1 }), owner: 3 });
  const wanted: bigint[] = [];
  const ownership = ownershipOf(late, [f.cell(1), f.cell(3)], new Map(), { want: (log) => void wanted.push(log) });
  ownership.given(f.log);
  await ownership.run();
  assert.deepEqual(wanted, []);
  late.decide({ type: 'apply', src: 1, log: f.log, entries: f.cell(1).logEntries(f.log) });
  assert.equal(late.rows.get(f.log)?.status, 'intake');
  await ownership.run();
  assert.deepEqual(wanted, [f.log]);
});

/** A cell restored twice, the second time to before the first: it holds an entry which that one took, the others what came instead. */
function restoredTwice() {
  const f = new OwnedLog();
  const [first, second, third] = [f.cell(1), new StagedCell(1, [ana]), new StagedCell(1, [ana])];
  const shared = first.logEntries(f.log);
  const lost = f.say(1);
  const backup = first.logEntries(f.log);
  second.generation = 2;
  second.decide({ type: 'apply', src: 2, log: f.log, entries: shared, tail: true });
  second.decide({ type: 'begin', log: f.log });
  second.decide({ type: 'settle', log: f.log });
  second.decide(text({ log: f.log }, ana, 500n));
  const since = second.logEntries(f.log).slice(shared.length);
  for (const cell of [2, 3]) f.cell(cell).decide({ type: 'apply', src: 1, log: f.log, entries: since });
  assert.equal(f.cell(2).rows.get(f.log)?.head, shared.length + since.length);
  third.generation = 3;
  third.decide({ type: 'apply', src: 2, log: f.log, entries: backup, tail: true });
  assert.ok(idsIn(third, f.log).includes(lost));
  return { f, third, lost, since };
}

test('a store restored to before an earlier restore gives up what that one took, and takes back what came after it', async () => {
  const { f, third, lost } = restoredTwice();
  const ownership = ownershipOf(third, [f.cell(2), f.cell(3)], new Map());
  for (let n = 0; n < 3; n++) await ownership.run();
  const held = idsIn(third, f.log);
  const kept = idsIn(f.cell(2), f.log);
  assert.deepEqual(held.slice(0, kept.length), kept);
  assert.equal(third.rows.get(f.log)?.status, 'open');
  // It is offered again, since nobody knows its id.
  assert.equal(held.at(-1), lost);
});

test('it gives nothing up for what does not begin right there: the epoch of a log never falls', async () => {
  const { f, third, since } = restoredTwice();
  const { head, epoch } = { ...(third.rows.get(f.log) as LogRow) };
  const entries = third.logEntries(f.log).filter(({ seq }) => seq < head);
  const [state, last] = [foldState(entries) ?? assert.fail(), entries.at(-1) ?? assert.fail()];
  const snapshot = { state, start: last.seq, ts: last.ts, ord: last.ord, hash: hashOf(chain, last) ?? assert.fail(), floor: 0 };
  const told = f.cell(2).states.get(f.log)?.epochs ?? [];
  const tell = (given: readonly Entry[]) =>
    third.decide({ type: 'apply', src: 2, log: f.log, entries: given, tail: true, told, cut: last.seq, snapshot });
  for (const given of [[], since.slice(1), since.map((entry) => ({ ...entry, prev: new Uint8Array(32) }))]) {
    tell(given);
    assert.deepEqual([third.rows.get(f.log)?.head, third.rows.get(f.log)?.epoch], [head, epoch]);
  }
  tell(since);
  assert.ok((third.rows.get(f.log)?.epoch ?? 0n) > epoch);
});

test('a tail leads through an epoch that is older than the one it ends, to one that is newer', () => {
  const f = new OwnedLog();
  const sign = (to: number, term: number): void => {
    const signed = { epoch: makeEpoch({ count: term * countByDirectory(1), cell: to, generation: 1 }), owner: to };
    for (const cell of f.cells) cell.takeovers.set(f.log, signed);
    f.cell(to).decide({ type: 'begin', log: f.log });
  };
  sign(2, 1);
  sign(1, 2);
  const restored = f.cell(1).backup([ana]);
  const { epoch } = { ...(restored.rows.get(f.log) as LogRow) };
  sign(2, 3);
  f.pull(2, 1, 2);
  sign(1, 4);
  f.follow(1, 2);
  restored.generation = 2;
  Object.assign(restored.rows.get(f.log) as LogRow, { status: 'stopped' });
  const [kept, told] = [f.cell(2).logEntries(f.log), f.cell(2).states.get(f.log)?.epochs ?? []];
  const [state, last] = [foldState(kept.slice(0, 2)) ?? assert.fail(), kept[1] ?? assert.fail()];
  const snapshot = { state, start: 2, ts: last.ts, ord: last.ord, hash: hashOf(chain, last) ?? assert.fail(), floor: 0 };
  const tell = (entries: readonly Entry[]) =>
    restored.decide({ type: 'apply', src: 2, log: f.log, entries, tail: true, told, cut: 2, snapshot });
  tell(kept.slice(2, 3));
  assert.equal(restored.rows.get(f.log)?.epoch, epoch, 'not for the older one alone');
  tell(kept.slice(2));
  assert.deepEqual(idsIn(restored, f.log), idsIn(f.cell(2), f.log));
});

test('a cell that had left a log is given the tail up to where it left', async () => {
  const f = new OwnedLog();
  f.give(1, 2);
  f.give(2, 1);
  const body = MembersRemoved.encode({ users: [bo] }).finish();
  f.cell(1).decide({ ...text({ log: f.log }, ana, 7n), kind: kinds.membersRemoved, body });
  const until = f.cell(1).rows.get(f.log)?.head;
  f.say(1);
  const answer = PullAnswer.decode(await serverOf(f.cell(1)).tail(2, { log: f.log, after: 0n }));
  assert.equal(Number(answer.result?.$case === 'page' && answer.result.value.entries.at(-1)?.seq), until);
});

test('of a run that broke off while nobody was in the log its tail goes as far as it stands, and no further', async () => {
  const f = new OwnedLog();
  for (let n = 0; n < 4; n++) f.say(1);
  f.follow(1, 2);
  const { entries, number } = f.cell(2);
  const tailAfter2 = async (): Promise<number[]> => {
    const { result } = PullAnswer.decode(await serverOf(f.cell(2)).tail(1, { log: f.log, after: 2n }));
    return result?.$case === 'page' ? result.value.entries.map(({ seq }) => Number(seq)) : [];
  };
  assert.deepEqual([number, await tailAfter2()], [2, [3, 4, 5, 6]]);
  const at = (seq: number): number => entries.findIndex((each) => each.log === f.log && each.seq === seq);
  // Given up by an epoch that nobody here was told of.
  entries[at(6)] = { ...(entries[at(6)] as Entry), epoch: 1n };
  assert.deepEqual(await tailAfter2(), [3, 4, 5]);
  entries.splice(at(4), 1);
  assert.deepEqual(await tailAfter2(), [3]);
});
