import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain } from '@weft/proto/chain.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { type Entry, kinds } from './entry.ts';
import type { ApplyOperation, IntakeOperation, Operation } from './operations.ts';
import { Poison, unreadable } from './poison.ts';

const entry = (seq: number, kind: number = kinds.text): Entry => ({
  log: 7n,
  epoch: 1n,
  seq,
  ts: 5,
  author: 3n,
  clientEntryId: BigInt(seq),
  ord: seq,
  kind,
  flags: 0,
  body: Buffer.from('body'),
});
const run = (...seqs: number[]): ApplyOperation => ({ type: 'apply', src: 1, log: 7n, entries: seqs.map((seq) => entry(seq)) });
const intake: IntakeOperation = {
  type: 'intake',
  src: 2,
  generation: 1,
  target: { log: 7n },
  stream: { a: 7n, b: 0n },
  n: 4,
  lowestOpen: 0,
  author: 3n,
  clientEntryId: 9n,
  kind: kinds.text,
  body: Buffer.from('body'),
};

const chain = new Chain(sha256);

/** What comes after three failures of an operation. */
function afterThree(operation: Operation): readonly Operation[] | undefined {
  const poison = new Poison(10);
  assert.equal(poison.instead(operation), undefined);
  assert.equal(poison.instead(operation), undefined);
  return poison.instead(operation);
}

test('a run that failed three times is taken apart, and what fails alone is poison', () => {
  const snapshot = { floor: 0 } as ApplyOperation['snapshot'];
  const apart = afterThree({ ...run(5, 6), ...(snapshot ? { snapshot } : {}) }) as ApplyOperation[];
  assert.deepEqual(
    apart.map(({ entries, alone, snapshot: opens }) => [entries.map(({ seq }) => seq), alone, opens !== undefined]),
    [
      [[5], true, true],
      [[6], true, false],
    ],
  );
  const [poisoned] = new Poison(10).instead(apart[1] as ApplyOperation) as ApplyOperation[];
  assert.deepEqual(poisoned, { ...apart[1], poisoned: true });
});

test('an intake that failed three times is to be refused; what failed as poison comes again as it is', () => {
  assert.deepEqual(afterThree(intake), [{ ...intake, poisoned: true }]);
  assert.equal(new Poison(10).instead({ ...intake, poisoned: true }), undefined);
});

test('the failures of different operations are counted apart, and the oldest are forgotten first', () => {
  const poison = new Poison(2);
  for (const seq of [1, 2, 1, 2]) assert.equal(poison.instead(run(seq)), undefined);
  assert.equal(poison.instead(run(1))?.length, 1);
  poison.instead(run(3));
  poison.instead(run(4));
  assert.equal(poison.instead(run(2)), undefined);
});

test('an unreadable entry keeps its header and, of its body, the hash; a state entry is left as it is', () => {
  const { body } = entry(1);
  assert.deepEqual(unreadable(entry(1), chain), { ...entry(1), flags: 3, body: new Uint8Array(), bodyHash: sha256(body) });
  assert.deepEqual(unreadable(entry(1, kinds.membersAdded), chain), entry(1, kinds.membersAdded));
});
