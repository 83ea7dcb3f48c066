import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Writes } from '../delivery/ports.ts';
import { givenUp } from './epoch-starts.ts';

const writesOf = (truncated: Writes['truncated'][number]): Writes => ({ truncated: [truncated] }) as unknown as Writes;

test('who follows an epoch that is in no list any more is cut where the lists parted, whichever epochs came between', () => {
  const epochs = [
    { epoch: 1n, base: 0 },
    { epoch: 2n, base: 3 },
    { epoch: 9n, base: 7 },
  ];
  const told = givenUp(writesOf({ log: 7n, base: 3, before: [], epochs }));
  for (const followed of [1n, 5n]) {
    // As clients do: what is told of an epoch before the one they follow is of no interest.
    let [epoch, head] = [followed, 8];
    for (const start of told) if (start.epoch >= epoch) [epoch, head] = [start.epoch, Math.min(head, Number(start.base))];
    assert.deepEqual([epoch, head], [9n, 3], `epoch ${followed}`);
  }
  assert.deepEqual([told.at(-1)?.epoch, told.at(-1)?.base], [9n, 7n], 'where the newest begins is told last');
});
