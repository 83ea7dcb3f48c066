import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Claim, type Holdings, type Hop, type LaneClaim, LinkBalance, withMoves } from './balance.ts';

const limits = { unbalancedMs: 10_000, claimsMax: 16, silentMs: 5_000 };
const empty: LaneClaim = { accepted: 0, settled: 0, dropped: 0, waiting: 0, oldest: 0n };
const noIntake = { accepted: 0, applied: 0, refused: 0, waiting: 0 };
const claim = (lane: Partial<LaneClaim>, more: Partial<Claim> = {}): Omit<Claim, 'sentAt'> => ({
  lanes: [{ ...empty, ...lane }],
  intake: noIntake,
  holes: 0,
  ...more,
});
const holds = (applied: number, more: { behind?: number; oldestFrameMs?: number; holes?: number } = {}): Omit<Holdings, 're'> => ({
  lanes: [{ applied, behind: more.behind ?? 0 }],
  oldestFrameMs: more.oldestFrameMs ?? 0,
  holes: more.holes ?? 0,
});

/** Says the same each second for so long; answers the alarms after each. */
function lasts(
  seconds: number,
  said: (second: number) => { claim: Omit<Claim, 'sentAt'>; holds?: Omit<Holdings, 're'> },
  wasStored?: boolean,
): { alarms: (readonly Hop[])[]; balance: LinkBalance } {
  const balance = new LinkBalance(limits);
  const alarms: Hop[][] = [];
  for (let second = 1; second <= seconds; second++) {
    const nowMs = second * 1_000;
    const { claim, holds } = said(second);
    balance.claim({ ...claim, sentAt: second }, nowMs);
    if (holds) balance.heard({ ...holds, re: second }, nowMs + 300, () => wasStored);
    alarms.push([...balance.alarms(nowMs + 500).keys()]);
  }
  return { alarms, balance };
}

const last = (result: { alarms: (readonly Hop[])[] }): readonly Hop[] | undefined => result.alarms.at(-1);

test('what waits in the outbox, is known to be missing or has only just been accepted is no difference', () => {
  const result = lasts(60, (second) => ({
    claim: claim({ accepted: 100 * second, settled: 100 * second - 30, waiting: 30, oldest: BigInt(second) }),
    // Twenty of the thirty have come and are not acknowledged yet; ten of others are known to be missing.
    holds: holds(100 * second - 20 + (second % 2 ? 50 : 0), { behind: 10 + second }),
  }));
  assert.deepEqual(
    result.alarms.filter((hops) => hops.length > 0),
    [],
  );
});

test('a row that went without an acknowledgement is an alarm of the outbox after ten seconds, not before', () => {
  const result = lasts(13, () => ({ claim: claim({ accepted: 10, settled: 7, waiting: 2, oldest: 5n }), holds: holds(7) }));
  assert.deepEqual(result.alarms[8], []);
  assert.deepEqual(last(result), ['outbox']);
  assert.equal(result.balance.alarms(20_000).get('outbox'), 1);
});

test('what was acknowledged and is not held is an alarm of the replica store', () => {
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({ accepted: 10, settled: 10 }), holds: holds(9) }))), ['replica']);
});

test('entries that a look through a store did not find are an alarm of that store', () => {
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({}), holds: holds(0, { holes: 2 }) }))), ['replica']);
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({}, { holes: 2 }), holds: holds(0) }))), ['owner']);
});

test('what was applied and never accepted is an alarm of the owner’s store', () => {
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({ accepted: 9, settled: 9 }), holds: holds(10) }))), ['owner']);
});

test('a frame that waits while the stream has nothing of its age went missing there, or on the bus if no broker took it', () => {
  const stuck = () => ({ claim: claim({ accepted: 10, settled: 9, waiting: 1, oldest: 7n }), holds: holds(9) });
  assert.deepEqual(last(lasts(13, stuck, true)), ['stream']);
  assert.deepEqual(last(lasts(13, stuck)), ['stream']);
  assert.deepEqual(last(lasts(13, stuck, false)), ['bus']);
});

test('a frame that waits in a full stream, or was applied and only not acknowledged, is no alarm', () => {
  const waits = claim({ accepted: 10, settled: 9, waiting: 1, oldest: 7n });
  assert.deepEqual(last(lasts(40, (second) => ({ claim: waits, holds: holds(9, { oldestFrameMs: second * 1_000 }) }))), []);
  assert.deepEqual(last(lasts(40, () => ({ claim: waits, holds: holds(10) }))), []);
});

test('what is known to be missing and does not come is an alarm of the pull; what comes slowly is not', () => {
  const behind = claim({ accepted: 100, settled: 100 });
  assert.deepEqual(last(lasts(14, () => ({ claim: behind, holds: holds(50, { behind: 50 }) }))), ['pull']);
  assert.deepEqual(last(lasts(40, (second) => ({ claim: behind, holds: holds(50 + second, { behind: 50 - second }) }))), []);
});

test('intake that is neither open nor decided is an alarm even while the other cell is silent', () => {
  const intake = { accepted: 10, applied: 5, refused: 1, waiting: 3 };
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({}, { intake }) }))), ['intake']);
  assert.deepEqual(last(lasts(13, () => ({ claim: claim({}, { intake: { ...intake, waiting: 4 } }) }))), []);
});

test('a cell that falls silent is no difference, and a difference that was made good is none any more', () => {
  const lost = { claim: claim({ accepted: 10, settled: 10 }), holds: holds(9) };
  assert.deepEqual(last(lasts(30, (second) => (second < 5 ? lost : { claim: lost.claim }))), []);
  assert.deepEqual(last(lasts(30, (second) => (second < 25 ? lost : { claim: lost.claim, holds: holds(10) }))), []);
});

test('holdings that answer no claim of this node are not judged by', () => {
  const balance = new LinkBalance(limits);
  balance.claim({ ...claim({ accepted: 10, settled: 10 }), sentAt: 1 }, 0);
  balance.heard({ ...holds(0), re: 99 }, 1, () => true);
  assert.deepEqual([...balance.line(20_000).missing], []);
  assert.equal(balance.line(20_000).heard, false);
});

test('what was applied although its row went without a word is settled, and so is what was dropped', () => {
  const { balance } = lasts(2, () => ({ claim: claim({ accepted: 10, settled: 4, dropped: 3 }), holds: holds(10) }));
  assert.deepEqual(balance.settledInFact(), [{ lane: 0, settled: 6, dropped: -3 }]);
  const { balance: even } = lasts(2, () => ({ claim: claim({ accepted: 10, settled: 10 }), holds: holds(10) }));
  assert.deepEqual(even.settledInFact(), []);
});

test('intake that went to another owner is accepted there; one that is nowhere is missing where it was accepted', () => {
  const moved = new Map([
    [2, { accepted: 10, applied: 6, refused: 1, waiting: 0 }],
    [3, { accepted: 0, applied: 1, refused: 0, waiting: 2 }],
  ]);
  assert.deepEqual(
    [...withMoves(moved).values()].map(({ accepted }) => accepted),
    [7, 3],
  );
  const lost = new Map([
    [2, { accepted: 10, applied: 6, refused: 1, waiting: 2 }],
    [3, { accepted: 4, applied: 1, refused: 0, waiting: 3 }],
  ]);
  assert.deepEqual(withMoves(lost), lost);
});
