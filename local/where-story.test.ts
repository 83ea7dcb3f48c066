import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Passport } from '@weft/proto/passport.ts';
import { storyOf } from './where-story.ts';

const nameOf = (cell: number): string => ['', 'eu-1', 'us-1'][cell] ?? `cell ${cell}`;
const ts = Date.UTC(2026, 9, 1, 12);
const id = '120200679011648512';
const nobody = { outbox: [], frames: [], devices: [], marks: [], clocks: [] };
const entry = { log: '5', seq: 2, epoch: '9', owner: 1, author: '7', clientEntryId: '8', kind: 9, ts, lane: 1 };
const log = { kind: 'direct', status: 'open', owner: 1, start: 0, head: 2, members: [], cells: [], behind: 0 };
const frame = { id, attempt: 1, entries: 1, sure: true };
const owner: Passport = {
  ...{ ...nobody, cell: 'eu-1', number: 1, node: 'a', nowMs: ts, entry, log },
  frames: [{ ...frame, peer: 2, way: 'out', sentMs: ts + 2, storedMs: ts + 6, doneMs: ts + 20 }],
  // A bad estimate here, a good one there.
  clocks: [{ cell: 2, aheadMs: -70, errorMs: 90 }],
};
const replica: Passport = {
  ...{ ...nobody, cell: 'us-1', number: 2, node: 'a', nowMs: ts, entry, log },
  frames: [{ ...frame, sure: false, entries: 0, peer: 1, way: 'in', storedMs: ts + 1_004, sentMs: ts + 1_008, doneMs: ts + 1_014 }],
  clocks: [{ cell: 1, aheadMs: -1_000, errorMs: 1 }],
};
const told = (answer: Passport) => ({ cell: answer.cell, node: `node-${answer.cell}-a`, answer, why: '' });
const away = { cell: 'us-1', node: 'node-us-1-a', answer: undefined, why: 'it does not run' };

test('a story is told by the clock of the owner, with the better of two estimates', () => {
  const lines = storyOf('5:2', [told(owner), told(replica)], nameOf).filter((line) => /\+\d+ ms/.test(line));
  assert.deepEqual(
    lines.map((line) => /\+(\d+) ms +(\S+)/.exec(line)?.slice(1).join(' ')),
    ['0 eu-1', '2 eu-1', '4 us-1', '6 eu-1', '8 us-1', '14 us-1', '20 eu-1'],
  );
});

test('nobody who answers, and an entry that nobody knows, are told as such', () => {
  assert.deepEqual(storyOf('5:2', [away], nameOf), ['5:2: nobody could be asked.', 'node-us-1-a did not answer: it does not run']);
  const { entry: _entry, log: _log, ...stranger } = owner;
  assert.match(storyOf('5:2', [told(stranger), away], nameOf).join('\n'), /no cell knows it[\s\S]*did not answer/);
});

test('pending intake is told with its place in the line', () => {
  const { entry: _entry, log: _log, ...home } = { ...replica, frames: [] };
  const waits = { ...home, nowMs: ts + 5_000, intake: { dst: 1, log: '5', n: 4, lowestOpen: 2, sinceMs: ts } };
  const story = storyOf('7+8', [told(waits)], nameOf).join('\n');
  assert.match(story, /7\+8 is pending: stored in us-1, eu-1 decides/);
  assert.match(story, /number 4 of log 5, since 12:00:00.000 \(5.0 s\); 2 numbers before it, from 2 on, are open too/);
});
