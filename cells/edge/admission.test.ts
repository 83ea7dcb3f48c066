import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { Admission } from './admission.ts';

const limits = { greetsUnderWayMax: 100, greetSlotsPerSecond: 1_000 };

test('as many as can be greeted together are, and each of the others is told a time of its own', async () => {
  const admission = new Admission(new ManualClock(0), limits);
  const { promise: greeted, resolve } = Promise.withResolvers<void>();
  const came = Array.from({ length: 1_100 }, () => admission.admit(() => greeted).catch((error: unknown) => error));
  resolve();
  const answers = await Promise.all(came);
  assert.equal(answers.filter((answer) => answer === undefined).length, 100);
  const waits = answers.filter((answer) => answer instanceof WeftError).map(({ code, afterMs }) => ({ code, afterMs }));
  assert.deepEqual(
    waits,
    Array.from({ length: 1_000 }, (_, i) => ({ code: 'busy', afterMs: i + 1 })),
  );
});

test('a greeting that failed makes room for the next', async () => {
  const admission = new Admission(new ManualClock(0), { ...limits, greetsUnderWayMax: 1 });
  await assert.rejects(
    admission.admit(() => Promise.reject(new Error('no'))),
    /no/,
  );
  assert.equal(await admission.admit(async () => 'welcome'), 'welcome');
});
