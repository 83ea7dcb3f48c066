// The hops between owner and replica: frames built from a changed store, and frames that change on the bus. The replica's
// cell itself finds what breaks the chain; the last entry of a run is found by the owner's signed head.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '@weft/cells/delivery/entry.ts';
import type { Outcome } from '@weft/cells/delivery/operations.ts';
import { groupOf, StagedCell, text, userOf } from '@weft/cells/delivery/staged-cell.ts';
import { decodeRuns, encodeRuns, runsOf } from '@weft/cells/wire/frames.ts';
import { sameHash } from '@weft/proto/chain.ts';

const events = 10_000;
const [ana, bo] = [userOf(1, 1), userOf(2, 2)];
const corruptions = ['drop', 'duplicate', 'reorder', 'rewrite', 'fork'] as const;
type Corruption = (typeof corruptions)[number];

class Pair {
  readonly owner = new StagedCell(1, [ana]);
  readonly replica = new StagedCell(2, [bo]);
  readonly log: bigint;
  #id = 2n;

  constructor() {
    const [opened] = this.owner.decide(groupOf(ana, [bo]));
    assert.equal(opened?.type, 'accepted');
    this.log = (opened as Extract<Outcome, { type: 'accepted' }>).entry.log;
    this.frame(this.owner.logEntries(this.log));
  }

  say(count: number): Entry[] {
    for (let i = 0; i < count; i++) this.owner.decide(text({ log: this.log }, ana, this.#id++));
    return this.owner.logEntries(this.log).slice(-count);
  }

  /** As it goes over the bus. */
  frame(entries: readonly Entry[]): Outcome | undefined {
    const [run] = decodeRuns(encodeRuns(runsOf(entries)));
    return run && this.replica.decide({ type: 'apply', src: 1, log: this.log, entries: run.entries })[0];
  }

  /** What the replica's witness does with the owner's signed head. */
  get differs(): boolean {
    const [said, here] = [this.owner.rows.get(this.log), this.replica.rows.get(this.log)];
    return said !== undefined && here?.head === said.head && !sameHash(here.hash, said.hash);
  }
}

function corrupted([a, b, c]: readonly Entry[], corruption: Corruption): Entry[] {
  assert.ok(a && b && c);
  const forged = { ...b, body: Buffer.from('words that nobody said') };
  if (corruption === 'drop') return [a, c];
  if (corruption === 'duplicate') return [a, b, { ...b, seq: c.seq }];
  if (corruption === 'reorder') return [a, { ...c, seq: b.seq }, { ...b, seq: c.seq }];
  if (corruption === 'rewrite') return [a, forged, c];
  return [a, b, { ...c, body: forged.body }];
}

/** How it was found, or undefined. */
function found(pair: Pair, outcome: Outcome | undefined): string | undefined {
  if (outcome?.type === 'rejected') return outcome.why;
  if (outcome?.type === 'applied' && outcome.behind) return 'behind, pulled';
  return pair.differs ? 'signed head' : undefined;
}

test(`${events} frames with a corrupted event are found by the cell that gets them`, (t) => {
  const told = new Map<string, number>();
  for (let i = 0; i < events; i++) {
    const pair = new Pair();
    const corruption = corruptions[i % corruptions.length] as Corruption;
    const how = found(pair, pair.frame(corrupted(pair.say(3), corruption)));
    assert.ok(how, `${corruption} was not found`);
    told.set(`${corruption}: ${how}`, (told.get(`${corruption}: ${how}`) ?? 0) + 1);
  }
  for (const [name, times] of told) t.diagnostic(`${times} × ${name}`);
});

test('frames that come twice, late or not at all leave the replica right, and raise no alarm', () => {
  const pair = new Pair();
  const [a, b, c] = pair.say(3).map((entry) => [entry]);
  assert.ok(a && b && c);
  const outcomes = [a, a, c, b, c, b].map((frame) => pair.frame(frame));
  assert.ok(outcomes.every((outcome) => outcome?.type === 'applied'));
  assert.equal(pair.differs, false);
  assert.deepEqual(pair.replica.rows.get(pair.log)?.hash, pair.owner.rows.get(pair.log)?.hash);
});

test('clean frames raise nothing', () => {
  for (let i = 0; i < 200; i++) {
    const pair = new Pair();
    assert.equal(found(pair, pair.frame(pair.say(50))), undefined);
  }
});
