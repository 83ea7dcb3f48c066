// The example of the SDK's README, run as it stands.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { send } from '@weft/client/examples/send.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
});
after(async () => {
  await fabric?.[Symbol.asyncDispose]();
});

test('sending a message takes fewer than 20 lines', () => {
  const source = readFileSync(fileURLToPath(import.meta.resolve('@weft/client/examples/send.ts')), 'utf8');
  assert.ok(source.trim().split('\n').length < 20);
});

test('the example signs up and sends to a person in another cell', async () => {
  const bo = await fabric.client('bo', 'us-1');
  const seq = await send(fabric.url('router-eu'), ['ana-of-the-example', 'a long enough passphrase', 'bo', 'hello from the example']);
  assert.equal(seq, 2);
  await until('the message is shown in the other cell', () =>
    bo.pushed().some((entry) => entry.body?.$case === 'text' && entry.body.value === 'hello from the example'),
  );
});
