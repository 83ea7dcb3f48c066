import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Evidence, judge } from './judge.ts';
import type { Link } from './log-chain.ts';

const [before, after] = [1n, 2n];

const link = (seq: number, epoch: bigint): Link => ({
  seq,
  epoch,
  hash: Uint8Array.of(Number(epoch), seq),
  key: `${epoch}/${seq}`,
  linked: true,
});
const headAt = (seq: number, epoch: bigint) => link(seq, epoch);

/** The epoch before gave 1 to 8; the one after gave up what was above 5. */
const page = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((seq) => link(seq, seq <= 5 ? before : after));

const evidence = (of: Pick<Evidence, 'owner' | 'witness'>): Evidence => ({
  log: 7n,
  from: 1,
  to: 9,
  ours: (seq) => page[seq - 1],
  home: page,
  ...of,
});

test("a witness's head of an epoch that is over, above the base of the one in force, is no contradiction", () => {
  assert.equal(judge(evidence({ owner: headAt(9, after), witness: headAt(8, before) })), undefined);
});

test('nor is the word of an owner that does not know yet that another one took over', () => {
  assert.equal(judge(evidence({ owner: headAt(8, before), witness: headAt(9, after) })), undefined);
});

test('a later epoch that nobody signed does not make a head be over', () => {
  const report = judge(evidence({ owner: headAt(8, before), witness: headAt(7, before) }));
  assert.equal(report?.kind, 'rewritten');
});

test('below the base of the epoch in force a head of the one before counts', () => {
  const other = { ...headAt(4, before), hash: Uint8Array.of(9) };
  const report = judge(evidence({ owner: headAt(9, after), witness: other }));
  assert.equal(report?.kind, 'forked');
  assert.equal(report?.agreed, 'witness');
});

test('two heads of one place in one epoch are a fork', () => {
  const other = { ...headAt(9, after), hash: Uint8Array.of(9) };
  assert.equal(judge(evidence({ owner: headAt(9, after), witness: other }))?.kind, 'forked');
});

test('an epoch that was given up whole names no place any more, whichever epoch stands there', () => {
  const [second, third] = [3n, 4n];
  const home = page.map(({ seq }) => link(seq, seq <= 7 ? before : third));
  const epochs = [
    { epoch: before, base: 0 },
    { epoch: third, base: 7 },
  ];
  const given = {
    ...evidence({ owner: headAt(9, third), witness: headAt(7, second) }),
    ours: (seq: number) => home[seq - 1],
    home,
    epochs,
  };
  assert.equal(judge(given), undefined);
  assert.equal(judge({ ...given, owner: undefined })?.kind, 'rewritten', 'nobody signed in a later epoch');
});
