import assert from 'node:assert/strict';
import { test } from 'node:test';
import { birthCell } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { Mark } from '../delivery/marks.ts';
import { toMoved } from '../delivery/marks.ts';
import type { Link } from '../delivery/ports.ts';
import { userOf } from '../delivery/staged-cell.ts';
import { MarkService } from './mark-service.ts';

const bo = userOf(2, 2);

/** Cell 1, which knows no log. */
function open(isWhole: boolean): MarkService {
  const none = async (): Promise<never[]> => [];
  const unknown = async (): Promise<undefined> => undefined;
  return new MarkService({
    cell: 1,
    tables: { mergeMarks: none, setMark: none, readWaitingMarks: none, toldMarks: unknown },
    link: {} as Link,
    freshId: () => 1n,
    homeOf: birthCell,
    stateOf: unknown,
    readState: unknown,
    isWhole: () => isWhole,
    moved: () => undefined,
    clock: new ManualClock(0),
    failed: (error) => assert.fail(String(error)),
    limits: { marksMembersMax: 200, marksPerFrameMax: 8, resendAfterMs: 2_000 },
  });
}

const markIn = (owner: number): Mark => ({
  log: userOf(owner, 9),
  user: bo,
  deliveredEpoch: makeEpoch({ count: 1, cell: owner, generation: 1 }),
  delivered: 3,
  seenEpoch: 0n,
  seen: 0,
});

test('marks in a log not heard of yet come again, and those in one that a restore took do not', async () => {
  const taken = (isWhole: boolean, owner: number): Promise<boolean> => open(isWhole).take(2, toMoved(markIn(owner)));
  assert.deepEqual(await Promise.all([taken(true, 3), taken(false, 1), taken(true, 1)]), [false, false, true]);
});
