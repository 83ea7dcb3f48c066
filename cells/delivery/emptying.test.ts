import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { Deleted, Edited } from '@weft/proto/gen/weft/client/v1/client.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { type Entry, kinds } from './entry.ts';
import type { Outcome } from './operations.ts';
import { groupOf, StagedCell, text, userOf } from './staged-cell.ts';

const [ana, al, bo] = [userOf(1, 1), userOf(1, 2), userOf(2, 3)];

let owner: StagedCell;
let replica: StagedCell;
let log: bigint;
let id: bigint;

const told = (outcome: Outcome | undefined): string => (outcome?.type === 'fault' ? outcome.code : (outcome?.type ?? 'none'));
const say = (author = ana): string => told(owner.decide(text({ log }, author, id++))[0]);
const edit = (seq: number, words: string, author = ana): string => {
  const body = Edited.encode({ seq: BigInt(seq), text: words }).finish();
  return told(owner.decide({ ...text({ log }, author, id++), kind: kinds.edited, body })[0]);
};
const remove = (seq: number, author = ana): string =>
  told(owner.decide({ ...text({ log }, author, id++), kind: kinds.deleted, body: Deleted.encode({ seq: BigInt(seq) }).finish() })[0]);
const at = (cell: StagedCell, seq: number): Entry => cell.logEntries(log).find((entry) => entry.seq === seq) ?? assert.fail(`${seq}`);
const follow = (): Outcome | undefined =>
  replica.decide({
    type: 'apply',
    src: 1,
    log,
    entries: owner.logEntries(log).filter(({ seq }) => seq > (replica.rows.get(log)?.head ?? 0)),
  })[0];

/** The chain over what is kept now. */
function hashOfAll(cell: StagedCell): Uint8Array {
  const chain = new Chain(sha256);
  return cell.logEntries(log).reduce((prev, entry) => chain.next(entry, prev), chainStart);
}

beforeEach(() => {
  owner = new StagedCell(1, [ana, al]);
  replica = new StagedCell(2, [bo]);
  id = 2n;
  const [opened] = owner.decide(groupOf(ana, [al, bo]));
  assert.equal(opened?.type, 'accepted');
  log = (opened as Extract<Outcome, { type: 'accepted' }>).entry.log;
  say();
  follow();
});

test('a deletion empties the body in every cell, and the chain over what is left is the same', () => {
  const words = at(owner, 2).body;
  assert.equal(remove(2), 'accepted');
  assert.equal(follow()?.type, 'applied');
  for (const cell of [owner, replica]) {
    const { body, bodyHash, flags } = at(cell, 2);
    assert.deepEqual([body.length, flags], [0, 2]);
    assert.deepEqual(Buffer.from(bodyHash ?? []), sha256(words));
    assert.deepEqual(Buffer.from(hashOfAll(cell)), Buffer.from(owner.rows.get(log)?.hash ?? []));
  }
});

test('an edit takes the words of the entry it names, and the next edit those of the last', () => {
  assert.equal(edit(2, 'other words'), 'accepted');
  assert.equal(edit(2, 'too late'), 'not_allowed', 'the words are at 3 now');
  assert.equal(edit(3, 'the last words'), 'accepted');
  assert.equal(remove(4), 'accepted');
  follow();
  for (const cell of [owner, replica])
    assert.deepEqual(
      cell.logEntries(log).map(({ flags }) => flags),
      [0, 2, 2, 2, 0],
    );
  assert.deepEqual(replica.rows.get(log)?.hash, owner.rows.get(log)?.hash);
});

test('nobody empties what is not theirs, what is no message, or what is not there', () => {
  assert.equal(remove(2, al), 'not_allowed');
  assert.equal(edit(2, 'in your name', al), 'not_allowed');
  assert.equal(remove(1), 'not_allowed', 'the creation');
  assert.equal(remove(9), 'not_allowed');
  assert.equal(remove(2), 'accepted');
  assert.equal(remove(2), 'not_allowed', 'twice');
});

test('a replica that gets message and deletion in one run ends with the same, and a run that comes again changes nothing', () => {
  say();
  remove(3);
  const entries = owner.logEntries(log);
  assert.equal(follow()?.type, 'applied');
  assert.equal(at(replica, 3).body.length, 0);
  assert.deepEqual(replica.decide({ type: 'apply', src: 1, log, entries })[0], { type: 'applied', head: 4, behind: false });
});

test('a message and its deletion in one batch', () => {
  const body = Deleted.encode({ seq: 3n }).finish();
  const outcomes = owner.decide(text({ log }, ana, 50n), { ...text({ log }, ana, 51n), kind: kinds.deleted, body });
  assert.deepEqual(outcomes.map(told), ['accepted', 'accepted']);
  assert.equal(at(owner, 3).body.length, 0);
  assert.deepEqual(Buffer.from(hashOfAll(owner)), Buffer.from(owner.rows.get(log)?.hash ?? []));
});
