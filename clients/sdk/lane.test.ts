import assert from 'node:assert/strict';
import { test } from 'node:test';
import { open, write } from './staged-outbox.ts';

test('says of what comes again what was sent after it, and of the rest nothing', () => {
  const { outbox, owner, connect, cut } = open();
  connect();
  const [a, b, c] = ['a', 'b', 'c'].map((text) => write(outbox, text));
  const named = (): unknown[] => owner.waiting.map(({ append }) => [append.clientEntryId, append.followedBy]);
  assert.deepEqual(named(), [
    [a?.id, []],
    [b?.id, []],
    [c?.id, []],
  ]);
  owner.waiting.splice(0, 1);
  owner.decide('accept');
  cut();
  const d = write(outbox, 'd');
  connect();
  assert.deepEqual(named(), [
    [a?.id, [b?.id, c?.id]],
    [c?.id, []],
    [d.id, []],
  ]);
});

test('what is pending is asked for once more where the user is not in the log: who started since then was told of no leaving', async () => {
  const { clock, outbox, owner, connect, isIn } = open();
  isIn.log = false;
  connect();
  const sent = write(outbox, 'a');
  owner.decide('pending');
  await clock.advance(1_000);
  assert.equal(owner.waiting.length, 1);
  isIn.log = true;
  owner.decide('pending');
  await clock.advance(10_000);
  assert.equal(owner.waiting.length, 0, 'its entry will come');
  assert.equal(sent.state, 'pending');
});

test('names no more of what was sent after it than a node takes', () => {
  const { outbox, owner, connect, cut } = open();
  connect();
  for (let i = 0; i < 50; i++) write(outbox, `m${i}`);
  const [first, ...rest] = owner.waiting.splice(0);
  for (const { append, waiter } of rest) waiter.answered({ $case: 'pending', value: { log: 7n, clientEntryId: append.clientEntryId } });
  assert.ok(owner.waiting.length > 0, 'what is pending leaves room for more');
  cut();
  connect();
  assert.equal(owner.waiting[0]?.append.clientEntryId, first?.append.clientEntryId);
  assert.equal(owner.waiting[0]?.append.followedBy.length, 32);
});
