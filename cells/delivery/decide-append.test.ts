import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LogJoined, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { type Entry, kinds } from './entry.ts';
import { keysOf } from './keys-of.ts';
import { type LogState, pairOf } from './log-state.ts';
import type { AppendOperation, Outcome, RefusedOperation } from './operations.ts';
import { type IntakeRow, type LogRow, RunAgain } from './ports.ts';
import { groupOf, intakeOf, StagedCell, text, userOf } from './staged-cell.ts';

const [ana, al] = [userOf(1, 1), userOf(1, 2)];
const [bo, bea] = [userOf(2, 3), userOf(2, 4)];
const pair = pairOf(ana, bo);

const accepted = (outcome: Outcome | undefined): Entry => {
  assert.equal(
    outcome?.type,
    'accepted',
    JSON.stringify(outcome, (_, v) => (typeof v === 'bigint' ? String(v) : v)),
  );
  return outcome.type === 'accepted' ? outcome.entry : assert.fail();
};
const codeOf = (outcome: Outcome | undefined): string => (outcome?.type === 'fault' ? outcome.code : (outcome?.type ?? ''));

const add = (log: bigint, author: bigint, users: readonly bigint[]): AppendOperation => ({
  ...text({ log }, author, users[0] as bigint),
  kind: kinds.membersAdded,
  body: MembersAdded.encode({ members: users.map((user) => ({ user, home: birthCell(user), from: 0n })) }).finish(),
});
const remove = (log: bigint, author: bigint, users: readonly bigint[]): AppendOperation => ({
  ...text({ log }, author, (users[0] as bigint) + 1n),
  kind: kinds.membersRemoved,
  body: MembersRemoved.encode({ users: [...users] }).finish(),
});

describe('at the owner', () => {
  test('the first append to a pair opens the conversation, and both of its cells hear of it', () => {
    const cell = new StagedCell(1, [ana]);
    const entry = accepted(cell.decide(text({ pair }, ana, 7n))[0]);
    assert.equal(entry.seq, 2);
    assert.deepEqual(
      cell.logEntries(entry.log).map(({ kind }) => kind),
      [kinds.created, kinds.text],
    );
    const [joined] = cell.logEntries(ana);
    assert.equal(LogJoined.decode(joined?.body ?? new Uint8Array()).peer, bo);
    assert.deepEqual(cell.userLogs.get(`${ana}:${entry.log}`), { user: ana, log: entry.log, from: 1, until: 0 });
    assert.deepEqual(
      cell.writes?.outbox.map(({ dst, ranges }) => [dst, ranges]),
      [[2, [{ log: entry.log, first: 1, last: 2 }]]],
    );
  });

  test('one id twice in a batch is one entry with two answers, and later again the same', () => {
    const cell = new StagedCell(1, [ana]);
    const [first, second] = cell.decide(text({ pair }, ana, 7n), text({ pair }, ana, 7n));
    assert.equal(accepted(first).seq, accepted(second).seq);
    assert.equal(first?.type === 'accepted' && first.fresh, true);
    assert.equal(second?.type === 'accepted' && second.fresh, false);
    assert.equal(accepted(cell.decide(text({ pair }, ana, 7n))[0]).seq, accepted(first).seq);
    assert.equal(cell.logEntries(accepted(first).log).length, 2);
  });

  test('two authors may choose the same id, even in one batch with a repetition', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al]))[0]);
    const outcomes = cell.decide(text({ log }, ana, 7n), text({ log }, al, 7n), text({ log }, ana, 7n));
    assert.deepEqual(
      outcomes.map((outcome) => accepted(outcome).seq),
      [2, 3, 2],
    );
  });

  test('the time of entries never falls, and only what people write is counted', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al]))[0]);
    cell.decide(text({ log }, ana, 2n));
    cell.nowMs -= 10_000;
    cell.decide(add(log, ana, [bo]), text({ log }, al, 3n));
    const entries = cell.logEntries(log);
    assert.deepEqual(
      entries.map(({ ord }) => ord),
      [0, 1, 1, 2],
    );
    assert.ok(entries.every(({ ts }, i) => ts >= (entries[i - 1]?.ts ?? 0)));
  });

  test('a group never has more members than it takes, whoever adds them at once', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al], 3))[0]);
    const [one, other] = cell.decide(add(log, ana, [bo]), add(log, al, [bea]));
    assert.equal(accepted(one).seq, 2);
    assert.equal(codeOf(other), 'group_full');
    assert.equal(cell.states.get(log)?.members.size, 3);
  });

  test('what comes after a removal is not taken; what was taken before stays known', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al]))[0]);
    cell.decide(text({ log }, al, 2n));
    const outcomes = cell.decide(remove(log, ana, [al]), text({ log }, al, 3n), text({ log }, al, 2n));
    assert.deepEqual(outcomes.map(codeOf), ['accepted', 'not_a_member', 'accepted']);
    assert.equal(cell.userLogs.get(`${al}:${log}`)?.until, 3);
    assert.equal(cell.logEntries(al).at(-1)?.kind, kinds.logLeft);
  });

  test('what was refused by an answer that never came is not taken behind what was sent after it', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al]))[0]);
    cell.decide(remove(log, ana, [al]), text({ log }, al, 5n), add(log, ana, [al]), text({ log }, al, 6n));
    const again = { ...text({ log }, al, 5n), followedBy: [7n, 6n] };
    assert.deepEqual(cell.decide(again)[0], { type: 'fault', code: 'not_allowed', text: 'refused before' });
    const [other, fresh] = cell.decide({ ...text({ log }, ana, 5n), followedBy: [6n] }, { ...text({ log }, al, 8n), followedBy: [9n] });
    accepted(other);
    accepted(fresh);
  });

  test('anybody may leave, only the creator removes others', () => {
    const cell = new StagedCell(1, [ana, al]);
    const { log } = accepted(cell.decide(groupOf(ana, [al, bo]))[0]);
    assert.equal(codeOf(cell.decide(remove(log, al, [bo]))[0]), 'not_allowed');
    assert.equal(codeOf(cell.decide(remove(log, al, [al]))[0]), 'accepted');
  });

  test('a pair that was opened since it was looked for is looked for again', () => {
    const cell = new StagedCell(1, [ana]);
    const before = new StagedCell(1, [ana]);
    cell.decide(text({ pair }, ana, 7n));
    const late = before.facts({ ...keysOf([], () => true), pairs: [pair] });
    before.facts = () => ({ ...late, pairLog: () => 99n });
    assert.throws(() => before.decide(text({ pair }, ana, 8n)), RunAgain);
  });
});

describe('away from the owner', () => {
  /** Cell 2 with a copy of a group of cell 1. */
  function replica(): { cell: StagedCell; log: bigint; owner: StagedCell } {
    const owner = new StagedCell(1, [ana]);
    const { log } = accepted(owner.decide(groupOf(ana, [bo, bea]))[0]);
    const cell = new StagedCell(2, [bo, bea]);
    cell.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log) });
    return { cell, log, owner };
  }

  test('appends to a pair are numbered before the conversation is open, and the numbers go on under its log', () => {
    const cell = new StagedCell(2, [bo]);
    cell.decide(text({ pair }, bo, 1n), text({ pair }, bo, 2n), text({ pair }, bo, 1n));
    const owner = new StagedCell(1, [ana]);
    const { log } = accepted(owner.decide(text({ pair }, ana, 7n))[0]);
    cell.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log) });
    cell.decide(text({ log }, bo, 3n));
    assert.deepEqual(
      [...cell.intake.values()].map(({ n, log: of, dst }) => [n, of, dst]),
      [
        [1, 0n, 1],
        [2, 0n, 1],
        [3, log, 1],
      ],
    );
  });

  test('one id in two logs waits in each of them', () => {
    const { cell, log } = replica();
    assert.deepEqual(cell.decide(text({ log }, bo, 5n), text({ pair }, bo, 5n)).map(codeOf), ['pending', 'pending']);
    assert.equal(cell.intake.size, 2);
  });

  test('too many undecided appends are told to come later, and those behind them with them', () => {
    const { cell, log } = replica();
    const outcomes = cell.decide(...[1n, 2n, 3n, 4n, 5n].map((id) => text({ log }, bo, id)));
    assert.deepEqual(outcomes.map(codeOf), ['pending', 'pending', 'pending', 'intake_full', 'earlier_faulted']);
  });

  test('nobody waits for what another connection has to send again, nor for a request', () => {
    const { cell, log } = replica();
    cell.full.add(1);
    const { connection: _, ...request } = text({ log }, bo, 1n);
    const another = { ...text({ log }, bo, 2n), connection: 2 };
    const outcomes = cell.decide(request, { ...request, clientEntryId: 4n }, text({ log }, bo, 2n), another, text({ log }, bo, 3n));
    assert.deepEqual(outcomes.map(codeOf), ['intake_full', 'intake_full', 'intake_full', 'intake_full', 'earlier_faulted']);
  });

  test('a destination for which too much waits already is told to come later, and what waits goes on waiting', () => {
    const { cell, log } = replica();
    cell.decide(text({ log }, bo, 1n));
    cell.full.add(1);
    const outcomes = cell.decide(text({ log }, bo, 1n), text({ log }, bo, 2n), text({ log }, bo, 3n));
    assert.deepEqual(outcomes.map(codeOf), ['pending', 'intake_full', 'earlier_faulted']);
    cell.full.clear();
    assert.deepEqual(cell.decide(text({ log }, bo, 2n)).map(codeOf), ['pending']);
  });

  test('what waits goes on waiting although its author was removed: the owner decides', () => {
    const { cell, log, owner } = replica();
    cell.decide(text({ log }, bo, 5n));
    owner.decide(remove(log, ana, [bo]));
    cell.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log) });
    assert.deepEqual(cell.decide(text({ log }, bo, 5n), text({ log }, bo, 6n)).map(codeOf), ['pending', 'not_a_member']);
  });

  test('what a restored cell sent before, and knows nothing of, is not refused by it when its author has left since: the owner has it', () => {
    const { cell, log, owner } = replica();
    cell.decide(text({ log }, bo, 5n));
    owner.decide(intakeOf([...cell.intake.values()][0] as IntakeRow, 2));
    owner.decide(remove(log, ana, [bo]));
    // Its backup has the first entry only, and its run begins anew where the log is the other user's alone.
    const restored = new StagedCell(2, [bo, bea]);
    restored.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log).slice(0, 1) });
    const state = owner.states.get(log) as LogState;
    const { head: start, ...row } = owner.rows.get(log) as LogRow;
    restored.decide({ type: 'apply', src: 1, log, entries: [], snapshot: { ...row, state, start, floor: 0 }, leaving: [bo, bea] });
    assert.equal(restored.rows.get(log)?.head, 3);
    restored.generation = 2;
    restored.lacking.add(1);
    assert.deepEqual(restored.decide(text({ log }, bo, 5n)).map(codeOf), ['busy']);
    restored.lacking.clear();
    assert.deepEqual(restored.decide(text({ log }, bo, 5n)).map(codeOf), ['pending']);
  });

  test('nor is it numbered behind it', () => {
    const { cell, log } = replica();
    cell.decide(text({ log }, bo, 6n));
    const outcomes = cell.decide({ ...text({ log }, bo, 5n), followedBy: [6n] }, { ...text({ log }, bea, 5n), followedBy: [6n] });
    assert.deepEqual(outcomes.map(codeOf), ['not_allowed', 'pending']);
    assert.deepEqual(cell.decide({ ...text({ log }, bo, 6n), followedBy: [7n] }).map(codeOf), ['pending'], 'it waits itself');
  });

  test('what was refused stays refused when its author is a member again', () => {
    const { cell, log, owner } = replica();
    cell.decide(text({ log }, bo, 5n));
    const refusal: RefusedOperation = {
      type: 'refused',
      src: 1,
      target: { log },
      stream: { a: log, b: 0n },
      n: 1,
      author: bo,
      clientEntryId: 5n,
      code: 'not_a_member',
      text: '',
    };
    cell.decide(refusal);
    owner.decide(remove(log, ana, [bo]), add(log, ana, [bo]));
    cell.decide({ type: 'apply', src: 1, log, entries: owner.logEntries(log) });
    assert.deepEqual(cell.decide(text({ log }, bo, 5n), text({ log }, bo, 6n)).map(codeOf), ['not_allowed', 'pending']);
  });
});
