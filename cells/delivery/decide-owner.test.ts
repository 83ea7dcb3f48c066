// Owners change: by their own last entry, by the directory's word, after a restore (R2, R11, R16, R22–R25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Handover, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { countByDirectory, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import { type Entry, kinds } from './entry.ts';
import { nextEpoch } from './epochs.ts';
import { ownerOf } from './log-state.ts';
import { ana, bo, cy, OwnedLog } from './owned-log.ts';
import { groupOf, intakeOf, StagedCell, text } from './staged-cell.ts';

test('an owner gives a log away: the next seq is the new owner’s, in an epoch of its own', () => {
  const f = new OwnedLog();
  const outcome = f.handOver(1, 2);
  assert.equal(outcome?.type, 'accepted');
  f.follow(1, 2, 3);
  assert.equal(f.cell(2).rows.get(f.log)?.status, 'intake');
  f.cell(2).decide({ type: 'settle', log: f.log });
  assert.equal(f.cell(2).rows.get(f.log)?.status, 'open');
  f.say(2);
  f.follow(2, 1, 3);
  for (const cell of [1, 2, 3]) assert.deepEqual(f.shown(cell), f.shown(2), `cell ${cell}`);
  assert.match(f.shown(3).at(-1) ?? '', /^4@2:9:/);
  const before = f.cell(1).rows.get(f.log)?.head;
  f.say(1);
  assert.equal(f.cell(1).rows.get(f.log)?.head, before, 'the old owner gives no seq any more');
  assert.equal([...f.cell(1).intake.values()][0]?.dst, 2);
});

test('open intake is addressed to the new owner, decided once and in its order, though the old one had decided some of it', () => {
  const f = new OwnedLog();
  const [first, second, third] = [f.say(3), f.say(3), f.say(3)];
  const rows = [...f.cell(3).intake.values()].sort((a, b) => a.n - b.n);
  f.cell(1).decide({ ...intakeOf(rows[0] as never, 3) });
  f.handOver(1, 2);
  const given = f.cell(1).logEntries(f.log).at(-1) as Entry;
  assert.deepEqual(
    Handover.decode(given.body).decided.map(({ cell, n }) => [cell, n]),
    [[3, 1n]],
  );
  f.follow(1, 2, 3);
  f.cell(2).decide({ type: 'settle', log: f.log });
  assert.deepEqual(
    [...f.cell(3).intake.values()].map(({ dst }) => dst),
    [2, 2],
  );
  f.decideIntake(3);
  const ids = f
    .cell(2)
    .logEntries(f.log)
    .map((e) => e.clientEntryId);
  for (const id of [first, second, third]) assert.equal(ids.filter((each) => each === id).length, 1);
  assert.ok(ids.indexOf(first) < ids.indexOf(second) && ids.indexOf(second) < ids.indexOf(third));
});

test('what the new owner’s people sent before it owned comes before what they send after', () => {
  const f = new OwnedLog();
  const waiting = f.say(2);
  f.handOver(1, 2);
  f.follow(1, 2);
  const later = f.say(2);
  assert.equal(f.cell(2).decide({ type: 'settle', log: f.log })[0]?.type, 'settled');
  assert.equal(f.cell(2).intake.size, 0);
  const last = f.say(2);
  const ids = f
    .cell(2)
    .logEntries(f.log)
    .map((e) => e.clientEntryId);
  assert.deepEqual(ids.slice(-3), [waiting, later, last]);
});

test('what an owner refused stays refused where the log was born, also once it is back there', () => {
  const f = new OwnedLog();
  const home = f.cell(1);
  f.give(1, 2, 3);
  const id = f.say(1);
  const refused = { type: 'refused', src: 2, target: { log: f.log }, stream: { a: f.log, b: 0n }, n: 1, author: ana } as const;
  home.decide({ ...refused, clientEntryId: id, code: 'not_allowed', text: '' });
  const again = () => home.decide(text({ log: f.log }, ana, id))[0];
  const isRefused = { type: 'fault', code: 'not_allowed', text: 'refused before' };
  assert.deepEqual(again(), isRefused);
  assert.equal(home.intake.size, 0);
  f.handOver(2, 1);
  f.follow(2, 1);
  home.decide({ type: 'settle', log: f.log });
  assert.deepEqual(again(), isRefused);
  const head = home.rows.get(f.log)?.head ?? 0;
  f.say(1);
  assert.equal(home.rows.get(f.log)?.head, head + 1, 'what is new is taken');
});

test('intake that reaches a former owner is answered Moved, and nothing is decided', () => {
  const f = new OwnedLog();
  f.say(3);
  const [row] = [...f.cell(3).intake.values()];
  f.handOver(1, 2);
  const head = f.cell(1).rows.get(f.log)?.head;
  const [outcome] = f.cell(1).decide(intakeOf(row as never, 3));
  assert.equal(outcome?.type, 'moved');
  assert.equal(f.cell(1).rows.get(f.log)?.head, head);
  const [notice] = f.notices(1);
  assert.equal(notice?.notice?.$case === 'moved' && notice.notice.value.cell, 2);
});

test('only a cell that keeps the whole log may get it', () => {
  const f = new OwnedLog();
  const outcome = f.cell(1).decide({ type: 'handover', log: f.log, to: 4, toGeneration: 1 })[0];
  assert.equal(outcome?.type === 'fault' && outcome.code, 'not_allowed');
});

test('a frame of an epoch nobody told of is not stored: its list is pulled first', () => {
  const f = new OwnedLog();
  f.give(1, 2);
  f.say(2);
  const late = f.cell(2).logEntries(f.log).slice(-1);
  const [outcome] = f.cell(3).decide({ type: 'apply', src: 2, log: f.log, entries: late });
  assert.ok(outcome?.type === 'applied' && outcome.behind);
  assert.equal(f.cell(3).rows.get(f.log)?.head, 2);
});

test('what is known of the new owner’s epoch stays known while what the one before gave comes in', () => {
  const f = new OwnedLog();
  f.give(1, 2);
  f.say(2);
  const [late] = f.cell(2).logEntries(f.log).slice(-1);
  assert.ok(late);
  const { log, epoch, seq } = late;
  const other = f.cell(3);
  other.decide({ type: 'apply', src: 2, log, entries: [late] });
  assert.deepEqual(other.writes?.behind, [{ log, epoch, known: seq, src: 2 }]);
  f.follow(1, 3);
  assert.equal(other.rows.get(log)?.epoch, epoch);
  assert.deepEqual(other.writes?.caughtUp, [{ log, epoch, head: seq - 1 }]);
});

test('a cell that was restored after the directory signed goes on in an epoch of its present life, and is believed', () => {
  const f = new OwnedLog();
  f.cell(2).generation = 2;
  const signed = { epoch: makeEpoch({ count: countByDirectory(1), cell: 2, generation: 1 }), owner: 2 };
  for (const cell of [1, 2, 3]) f.cell(cell).takeovers.set(f.log, signed);
  assert.equal(f.cell(2).decide({ type: 'begin', log: f.log })[0]?.type, 'applied');
  const { epoch } = f.cell(2).rows.get(f.log) as { epoch: bigint };
  assert.deepEqual(epochParts(epoch), { count: countByDirectory(1) + 256, cell: 2, generation: 2 });
  f.follow(2, 1, 3);
  for (const cell of [1, 3]) assert.equal(f.cell(cell).rows.get(f.log)?.epoch, epoch);
});

test('one that the directory signed is believed of whom it was signed for, and of nobody else', () => {
  const f = new OwnedLog();
  f.takeOver(2, 1, 3);
  const entries = f.cell(2).logEntries(f.log).slice(-1);
  const tell = (src: number) => f.cell(1).decide({ type: 'apply', src, log: f.log, entries })[0]?.type;
  assert.equal(tell(3), 'rejected');
  assert.equal(f.cell(1).rows.get(f.log)?.head, 2);
  assert.equal(tell(2), 'applied');
  assert.equal(f.cell(1).rows.get(f.log)?.head, 3);
});

test('a takeover without the directory’s signature is believed by nobody', () => {
  const f = new OwnedLog();
  f.takeOver(2);
  f.say(2);
  const [outcome] = f.cell(3).decide({ type: 'apply', src: 2, log: f.log, entries: f.cell(2).logEntries(f.log).slice(-1) });
  assert.ok(outcome?.type === 'applied' && outcome.behind, 'not stored');
  assert.deepEqual(f.pull(2, 3, 2), { type: 'rejected', why: 'unproven' });
  assert.equal(f.cell(3).rows.get(f.log)?.head, 2);
});

test('a dead owner’s log is taken over; the owner that wakes is fenced and offers what it gave out meanwhile again', () => {
  const f = new OwnedLog();
  f.takeOver(2, 3);
  f.follow(2, 3);
  f.cell(2).decide({ type: 'settle', log: f.log });
  f.say(2);
  f.follow(2, 3);
  // The old owner knows nothing of it, and goes on.
  const lost = f.say(1);
  const zombie = f.cell(1).logEntries(f.log).slice(-1);
  const [outcome] = f.cell(3).decide({ type: 'apply', src: 1, log: f.log, entries: zombie });
  assert.equal(outcome?.type, 'stale');
  const [notice] = f.notices(3);
  assert.ok(notice?.notice?.$case === 'stale' && notice.notice.value.owner === 2);
  assert.ok(!f.shown(3).some((line) => line.endsWith(`:${lost}`)), 'nothing of it is shown');
  // Told so, it learns from the directory who owns, and pulls.
  f.cell(1).takeovers.set(f.log, f.cell(2).takeovers.get(f.log) as never);
  assert.equal(f.pull(2, 1, 2)?.type, 'applied');
  assert.deepEqual(
    f.cell(1).orphans.map((e) => e.clientEntryId),
    [lost],
  );
  assert.deepEqual(
    f.cell(1).writes?.truncated.map(({ base }) => base),
    [2],
  );
  assert.deepEqual(f.shown(1), f.shown(2));
  f.decideIntake(1);
  assert.deepEqual(f.shown(1), f.shown(2));
  assert.ok(f.shown(2).at(-1)?.endsWith(`:${lost}`), 'it is there again, once');
});

/** Cell 2 took over from cell 1, which did not hear of it and went on; then cell 2 gave the log back to cell 1. */
function givenBackUnheard(): OwnedLog {
  const f = new OwnedLog();
  f.takeOver(2, 3);
  f.cell(2).decide({ type: 'settle', log: f.log });
  f.say(2);
  f.say(1);
  assert.equal(f.handOver(2, 1)?.type, 'accepted');
  f.cell(1).takeovers.set(f.log, f.cell(2).takeovers.get(f.log) as never);
  return f;
}

test('who is given a log back gives no seq in it before all that was given meanwhile is here', () => {
  const f = givenBackUnheard();
  const page = f.page(2, 1, 2);
  assert.equal(f.cell(1).decide({ ...page, entries: page.entries.slice(0, 1) })[0]?.type, 'applied');
  assert.equal(ownerOf(f.cell(1).states.get(f.log) as never), 2, 'it does not own yet');
  const early = f.cell(1).decide(text({ log: f.log }, ana, 900n))[0];
  assert.equal(early?.type, 'pending');
  f.follow(2, 1);
  assert.equal(ownerOf(f.cell(1).states.get(f.log) as never), 1);
  assert.deepEqual(f.shown(1), f.shown(2));
});

test('what is kept here with a hole is cut below the hole, and its run begins where it did before', () => {
  const f = givenBackUnheard();
  const page = { ...f.page(2, 1, 1), begins: 0 };
  assert.equal(f.cell(1).decide(page)[0]?.type, 'applied');
  assert.deepEqual(f.cell(1).writes?.reopened, [{ log: f.log, start: 0 }]);
  assert.deepEqual(
    f.cell(1).writes?.truncated.map(({ base }) => base),
    [1],
  );
  assert.deepEqual(f.shown(1), f.shown(2));
});

test('what comes again behind the page that gave its place up, in one transaction, is no fork', () => {
  const f = givenBackUnheard();
  const page = f.page(2, 1, 2);
  const { snapshot: _, epochs: __, cut: ___, leaving: ____, ...frame } = page;
  const outcomes = f.cell(1).decide(page, frame);
  assert.deepEqual(
    outcomes.map(({ type }) => type),
    ['applied', 'applied'],
  );
  assert.notEqual(f.cell(1).rows.get(f.log)?.status, 'frozen');
});

test('intake whose sender follows an epoch that was given up is answered Stale: what it offers comes first', () => {
  const f = new OwnedLog();
  f.takeOver(2, 3);
  f.cell(2).decide({ type: 'settle', log: f.log });
  // It did not hear of the takeover, and gives the log to the same cell: what follows goes there.
  const lost = f.say(1);
  f.handOver(1, 2);
  const later = f.say(1);
  const [row] = [...f.cell(1).intake.values()];
  assert.ok(row?.dst === 2);
  const sent = { ...intakeOf(row, 1, row.n), epoch: f.cell(1).rows.get(f.log)?.epoch as bigint };
  assert.equal(f.cell(2).decide(sent)[0]?.type, 'stale');
  assert.ok(f.notices(2).some(({ notice }) => notice?.$case === 'stale' && notice.value.owner === 2));
  f.cell(1).takeovers.set(f.log, f.cell(2).takeovers.get(f.log) as never);
  f.pull(2, 1, 2);
  f.decideIntake(1);
  const ids = f
    .cell(2)
    .logEntries(f.log)
    .map((entry) => entry.clientEntryId);
  assert.ok(ids.indexOf(lost) > 0 && ids.indexOf(lost) < ids.indexOf(later));
});

test('intake whose sender knows a newer epoch than its owner waits: what was given in that comes first', () => {
  const f = new OwnedLog();
  f.say(3);
  const [row] = [...f.cell(3).intake.values()];
  const known = f.cell(1).rows.get(f.log)?.epoch as bigint;
  const decide = (epoch: bigint) => f.cell(1).decide({ ...intakeOf(row as never, 3), epoch })[0]?.type;
  assert.equal(decide(nextEpoch(known, 1, 1)), 'early');
  assert.equal(f.cell(1).rows.get(f.log)?.head, 2);
  assert.equal(decide(known), 'decided');
});

test('orphans come before what their authors sent after them', () => {
  const f = new OwnedLog();
  const orphan = f.say(3);
  f.decideIntake(3);
  const waiting = f.say(3);
  // Cell 2 never got the orphan, and takes over from where it is.
  f.takeOver(2, 3);
  f.cell(2).decide({ type: 'settle', log: f.log });
  f.pull(2, 3, 2);
  assert.deepEqual(
    [...f.cell(3).intake.values()].sort((a, b) => a.n - b.n).map((row) => [row.clientEntryId, row.dst]),
    [
      [orphan, 2],
      [waiting, 2],
    ],
  );
  f.decideIntake(3);
  assert.deepEqual(
    f
      .cell(2)
      .logEntries(f.log)
      .slice(-2)
      .map((e) => e.clientEntryId),
    [orphan, waiting],
  );
});

test('opening a conversation whose log another cell owns by now finds it open, and leaves nothing that waits', () => {
  const [owner, other] = [new StagedCell(1, [ana]), new StagedCell(2, [bo])];
  const pair = { low: ana, high: bo };
  const open = { ...groupOf(ana, []), target: { pair }, body: new Uint8Array() };
  const log = (owner.decide(open)[0] as { entry: Entry }).entry.log;
  other.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log) });
  owner.decide({ type: 'handover', log, to: 2, toGeneration: 1 });
  const [outcome] = owner.decide({ ...open, author: bo, clientEntryId: 9n });
  assert.equal(outcome?.type, 'accepted');
  assert.equal((outcome as { entry: Entry }).entry.log, log);
  assert.deepEqual([...owner.intake.values()], []);
});

test('membership that a newer epoch gave up is taken back', () => {
  const f = new OwnedLog();
  const body = MembersRemoved.encode({ users: [cy] }).finish();
  f.cell(1).decide({ ...text({ log: f.log }, ana, 7n), kind: kinds.membersRemoved, body });
  f.follow(1, 3);
  assert.notEqual(f.cell(3).userLogs.get(`${cy}:${f.log}`)?.until, 0, 'removed');
  f.takeOver(2, 3);
  assert.equal(f.pull(2, 3, 2)?.type, 'applied');
  assert.deepEqual(f.cell(3).userLogs.get(`${cy}:${f.log}`), { user: cy, log: f.log, from: 1, until: 0 });
  assert.ok(f.cell(3).states.get(f.log)?.members.has(cy));
  assert.equal(f.cell(3).logEntries(cy).at(-1)?.kind, kinds.logJoined);
});

test('who left and came back in what a newer epoch gave up reads on from where the membership began', () => {
  const f = new OwnedLog();
  const change = (id: bigint, kind: number, body: Uint8Array): void => {
    f.cell(1).decide({ ...text({ log: f.log }, ana, id), kind, body });
    f.follow(1, 3);
  };
  change(7n, kinds.membersRemoved, MembersRemoved.encode({ users: [cy] }).finish());
  change(8n, kinds.membersAdded, MembersAdded.encode({ members: [{ user: cy, home: 3, from: 0n }] }).finish());
  assert.equal(f.cell(3).userLogs.get(`${cy}:${f.log}`)?.from, 4);
  f.takeOver(2, 3);
  assert.equal(f.pull(2, 3, 2)?.type, 'applied');
  assert.deepEqual(f.cell(3).userLogs.get(`${cy}:${f.log}`), { user: cy, log: f.log, from: 1, until: 0 });
});
