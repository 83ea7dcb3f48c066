// A log was handed over, and whoever knew of it first was restored, or took the log over, before everybody had heard (R23 to R25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { countByDirectory, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import { toWire } from '../wire/entry-codec.ts';
import { kinds } from './entry.ts';
import { ana, bo, cy, OwnedLog } from './owned-log.ts';
import type { LogRow } from './ports.ts';
import { PullServer } from './pull-server.ts';
import { chain, StagedCell, text } from './staged-cell.ts';
import { ownershipOf, rowOf, serverOf } from './staged-ownership.ts';

/** What that cell answers to pulls. */
const pullsOf = (cell: StagedCell): PullServer =>
  new PullServer({
    cell: cell.number,
    store: {
      readRow: async (log: bigint) => rowOf(cell, log),
      readRange: async (log: bigint, from: number, to: number) => cell.logEntries(log).filter(({ seq }) => seq >= from && seq <= to),
    } as never,
    limits: { pullEntriesMax: 10, pullBytesMax: 10_000 },
    toWire,
    chain,
    refused: () => assert.fail('it keeps the log'),
    isWhole: () => true,
  });

/** Cell 1 handed a young log to cell 3, which never heard of it; only cell 2 did. */
function handedToNobody() {
  const f = new OwnedLog();
  f.handOver(1, 3);
  f.follow(1, 2);
  const absent = new StagedCell(3, [cy]);
  const epoch = f.cell(2).rows.get(f.log)?.epoch ?? 0n;
  return { f, absent, epoch };
}

test('a cell that is to own a log it never heard of takes it from whoever writes to it, where who handed it over was restored', async () => {
  const { f, absent, epoch } = handedToNobody();
  f.cell(1).generation = 2;
  const ownership = ownershipOf(absent, [f.cell(1), f.cell(2)], new Map());
  ownership.named(f.log, { src: 2, epoch });
  for (let n = 0; n < 2; n++) await ownership.run();
  assert.deepEqual([absent.rows.get(f.log)?.status, absent.rows.get(f.log)?.epoch], ['open', epoch]);
  const idsIn = (cell: StagedCell): bigint[] => cell.logEntries(f.log).map(({ clientEntryId }) => clientEntryId);
  assert.deepEqual(idsIn(absent), idsIn(f.cell(2)));
});

test('where who handed it over was not, it is on its way, and nobody else is believed', async () => {
  const { f, absent, epoch } = handedToNobody();
  const ownership = ownershipOf(absent, [f.cell(1), f.cell(2)], new Map());
  ownership.named(f.log, { src: 2, epoch });
  await ownership.run();
  assert.equal(absent.rows.has(f.log), false);
});

test('a next owner whose run breaks off at what a restored owner before gave takes it from whoever handed the log over', async () => {
  const f = new OwnedLog();
  f.give(1, 3);
  f.handOver(3, 2);
  f.follow(3, 1);
  const { epoch } = f.cell(1).rows.get(f.log) as LogRow;
  // Cell 1 knows the list again, and no entry.
  f.cell(1).generation = 2;
  f.cell(1).entries.length = 0;
  const ownership = ownershipOf(f.cell(2), [f.cell(1), f.cell(3)], new Map());
  ownership.named(f.log, { src: 1, epoch });
  for (let n = 0; n < 2; n++) await ownership.run();
  assert.deepEqual([f.cell(2).rows.get(f.log)?.status, f.cell(2).rows.get(f.log)?.epoch], ['open', epoch]);
});

test('nor is one who says that another cell owns it', async () => {
  const { f, absent } = handedToNobody();
  f.cell(1).generation = 2;
  const asked: unknown[] = [];
  const link = { request: async (...what: unknown[]) => Promise.reject(asked.push(what)) };
  const ownership = ownershipOf(absent, [f.cell(1), f.cell(2)], new Map(), { link: link as never });
  ownership.named(f.log, { src: 2, epoch: makeEpoch({ count: 1, cell: 1, generation: 1 }) });
  await ownership.run();
  assert.deepEqual(asked, []);
});

test('who handed a log over brings it to the next owner from its first entry on, wherever it was born', () => {
  const f = new OwnedLog();
  f.give(1, 2);
  f.say(2);
  f.handOver(2, 3);
  const absent = new StagedCell(3, [cy]);
  const epochs = f.cell(2).states.get(f.log)?.epochs ?? [];
  const page = { type: 'apply', log: f.log, entries: f.cell(2).logEntries(f.log), epochs } as const;
  assert.equal(absent.decide({ ...page, src: 1 })[0]?.type, 'rejected', 'it owned the log before');
  assert.equal(absent.decide({ ...page, src: 2 })[0]?.type, 'applied');
  assert.deepEqual([absent.rows.get(f.log)?.status, absent.states.get(f.log)?.epochs], ['intake', epochs]);
});

test('a log that comes after the directory’s word on it is pulled from who owns it by that word', async () => {
  const f = new OwnedLog();
  const signed = { epoch: makeEpoch({ count: countByDirectory(1), cell: 2, generation: 1 }), owner: 2 };
  const late = new StagedCell(3, [cy]);
  late.takeovers.set(f.log, signed);
  const wanted: unknown[] = [];
  const ownership = ownershipOf(late, [f.cell(1), f.cell(2)], new Map(), { want: (...what) => void wanted.push(what) });
  await ownership.run();
  late.decide({ type: 'apply', src: 1, log: f.log, entries: f.cell(1).logEntries(f.log) });
  ownership.turnedUp(late.rows.get(f.log) as LogRow);
  await ownership.run();
  assert.deepEqual(wanted[0], [f.log, 2]);
});

test('a cell that owned a log that nobody there was in is given back all that it gave', async () => {
  const f = new OwnedLog();
  f.give(1, 2);
  const body = MembersRemoved.encode({ users: [bo] }).finish();
  f.cell(2).decide({ ...text({ log: f.log }, bo, 7n), kind: kinds.membersRemoved, body });
  f.handOver(2, 1);
  const until = f.cell(2).rows.get(f.log)?.head;
  f.follow(2, 1);
  f.cell(1).decide({ type: 'settle', log: f.log });
  f.say(1);
  const answer = PullAnswer.decode(await serverOf(f.cell(1)).tail(2, { log: f.log, after: 0n }));
  assert.equal(Number(answer.result?.$case === 'page' && answer.result.value.entries.at(-1)?.seq), until);
});

test('who is taken for the owner, and never was, tells which epochs there are', async () => {
  const f = new OwnedLog();
  // Cell 3 heard of a handover to cell 2 that the restored cell 1 forgot.
  f.handOver(1, 2);
  f.follow(1, 3);
  const { epoch, head } = f.cell(3).rows.get(f.log) as LogRow;
  const second = f.cell(2);
  const server = pullsOf(second);
  const restored = makeEpoch({ count: epochParts(epoch).count + 1, cell: 1, generation: 2 });
  const state = second.states.get(f.log) ?? assert.fail();
  const epochs = [...state.epochs, { epoch: restored, base: head - 1 }];
  second.states.set(f.log, { ...state, epoch: restored, epochs });
  second.rows.set(f.log, { ...(second.rows.get(f.log) as LogRow), epoch: restored });
  const asked = async (from: bigint) => {
    const { result } = PullAnswer.decode(await server.answer(3, { log: f.log, from, to: 0n, snapshot: false, epoch }));
    return result?.$case === 'page' ? result.value.epochs.map((each) => each.epoch) : result;
  };
  assert.deepEqual(
    await asked(BigInt(head + 1)),
    epochs.map((each) => each.epoch),
  );
});

test('a handover that comes from a lost life of its sender is pulled, and not believed before', () => {
  const f = new OwnedLog();
  const head = f.cell(2).rows.get(f.log)?.head;
  f.handOver(1, 2);
  const given = f.cell(1).logEntries(f.log).slice(-1);
  f.cell(2).generations.set(1, 2);
  const frame = { type: 'apply', src: 1, log: f.log, entries: given } as const;
  assert.deepEqual(f.cell(2).decide(frame)[0], { type: 'applied', head, behind: true });
  // Whoever owns the log now says that it counts.
  const epochs = f.cell(1).states.get(f.log)?.epochs ?? [];
  assert.deepEqual(f.cell(2).decide({ ...frame, epochs })[0], { type: 'applied', head: (head ?? 0) + 1, behind: false });
  assert.equal(f.cell(2).rows.get(f.log)?.status, 'intake');
});

test('a cell restored to before a restore, whose log was handed over in the life before that, gets back what was given since', async () => {
  const f = new OwnedLog();
  const [second, third] = [new StagedCell(1, [ana]), new StagedCell(1, [ana])];
  const shared = f.cell(2).logEntries(f.log);
  second.generation = 2;
  second.decide({ type: 'apply', src: 2, log: f.log, entries: shared, tail: true });
  second.decide({ type: 'begin', log: f.log });
  second.decide({ type: 'settle', log: f.log });
  second.decide(text({ log: f.log }, ana, 500n));
  f.cell(2).decide({ type: 'apply', src: 1, log: f.log, entries: second.logEntries(f.log).slice(shared.length) });
  // The first life handed it to cell 2, and the backup is of after that.
  f.handOver(1, 2);
  const backup = f.cell(1);
  third.generation = 3;
  third.rows.set(f.log, { ...(backup.rows.get(f.log) as LogRow) });
  third.states.set(f.log, backup.states.get(f.log) ?? assert.fail());
  third.entries.push(...backup.logEntries(f.log));
  const page = { ...f.page(2, 1, shared.length), entries: [], cut: shared.length };
  assert.equal(third.decide(page)[0]?.type, 'applied');
  assert.deepEqual([third.rows.get(f.log)?.status, third.rows.get(f.log)?.head], ['stopped', shared.length]);
  const ownership = ownershipOf(third, [f.cell(2), f.cell(3)], new Map());
  for (let n = 0; n < 3; n++) await ownership.run();
  assert.ok(third.logEntries(f.log).some(({ clientEntryId }) => clientEntryId === 500n));
  assert.equal(third.rows.get(f.log)?.status, 'open');
});

test('a cell that holds the log, and not how it came to own it, takes that from who asks it as the owner', async () => {
  const f = new OwnedLog();
  f.give(1, 2, 3);
  f.say(2);
  f.follow(2, 3);
  f.handOver(2, 1);
  f.follow(2, 3);
  const { epoch } = f.cell(3).rows.get(f.log) as LogRow;
  f.cell(2).generation = 2;
  const ownership = ownershipOf(f.cell(1), [f.cell(2), f.cell(3)], new Map());
  ownership.named(f.log, { src: 3, epoch });
  for (let n = 0; n < 2; n++) await ownership.run();
  assert.deepEqual([f.cell(1).rows.get(f.log)?.epoch, f.cell(1).rows.get(f.log)?.status], [epoch, 'open']);
});

test('an owner hands nothing over that the directory has given away, though it has not got the new owner’s word yet', () => {
  const f = new OwnedLog();
  const signed = { epoch: makeEpoch({ count: countByDirectory(1), cell: 2, generation: 1 }), owner: 2 };
  f.cell(1).takeovers.set(f.log, signed);
  const outcome = f.handOver(1, 3);
  assert.equal(outcome?.type === 'fault' && outcome.code, 'stale_epoch');
});

test('who owns a log and has forgotten that is brought all of it, though its people were out of it for a while', async () => {
  const f = new OwnedLog();
  f.give(1, 2, 3);
  const given = f.cell(1).rows.get(f.log)?.head ?? 0;
  const member = { user: bo, home: 2, from: 0n };
  const change = (kind: number, body: Uint8Array, id: bigint) => f.cell(2).decide({ ...text({ log: f.log }, ana, id), kind, body });
  change(kinds.membersRemoved, MembersRemoved.encode({ users: [bo] }).finish(), 7n);
  change(kinds.membersAdded, MembersAdded.encode({ members: [member] }).finish(), 8n);
  f.follow(2, 1);
  assert.ok((f.cell(1).states.get(f.log)?.cells.get(2)?.from ?? 0) > given);
  const request = { log: f.log, from: 2n, to: 0n, snapshot: false, epoch: makeEpoch({ count: 1, cell: 1, generation: 1 }) };
  const { result } = PullAnswer.decode(await pullsOf(f.cell(1)).answer(2, request));
  const seqs = result?.$case === 'page' ? result.value.entries.map(({ seq }) => Number(seq)) : [];
  assert.deepEqual([seqs[0], seqs.at(-1)], [2, given]);
});

/** Cell 1 gave the log to cell 2, and its store forgot that without anybody noticing. */
function forgotten() {
  const f = new OwnedLog();
  const forgetful = f.cell(1).backup([ana]);
  f.give(1, 2);
  f.say(2);
  const ownership = ownershipOf(forgetful, [f.cell(2), f.cell(3)], new Map());
  return { f, forgetful, ownership };
}

test('an owner that forgot, unnoticed, that it gave a log away takes back what it gave once the new owner is heard', async () => {
  const { f, forgetful, ownership } = forgotten();
  ownership.longer(f.log, 2);
  for (let n = 0; n < 2; n++) await ownership.run();
  const rowOfLog = (cell: StagedCell) => [cell.rows.get(f.log)?.epoch, cell.rows.get(f.log)?.head];
  assert.deepEqual(rowOfLog(forgetful), rowOfLog(f.cell(2)));
  forgetful.decide(text({ log: f.log }, ana, 900n));
  assert.equal(forgetful.rows.get(f.log)?.head, f.cell(2).rows.get(f.log)?.head, 'it gives no seq any more');
});

test('one that holds all of the epoch that ended elsewhere lost nothing: what a takeover gives up the directory tells', async () => {
  const f = new OwnedLog();
  f.say(1);
  f.takeOver(2);
  const ownership = ownershipOf(f.cell(1), [f.cell(2), f.cell(3)], new Map());
  ownership.longer(f.log, 2);
  await ownership.run();
  assert.equal(f.cell(1).rows.get(f.log)?.status, 'open');
});
