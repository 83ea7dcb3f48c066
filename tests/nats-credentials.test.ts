import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { natsCredentials } from '@weft/local/nats-credentials.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { NatsFabric, until } from './nats-fabric.ts';

test('the bus’s credentials are made once, kept for their owner alone, and completed for a new cell', () => {
  const dir = testFolder();
  try {
    const first = natsCredentials(dir, ['eu-1']);
    assert.equal(statSync(join(dir, 'nats-credentials.json')).mode & 0o777, 0o600);
    assert.throws(() => first.leaf('us-1'), /no credentials for cell us-1/);
    const second = natsCredentials(dir, ['eu-1', 'us-1']);
    assert.deepEqual(second.leaf('eu-1'), first.leaf('eu-1'));
    assert.deepEqual(second.cell('eu-1'), first.cell('eu-1'));
    assert.equal(second.directory.seed, first.directory.seed);
    assert.match(second.leaf('us-1').publicKey, /^U[A-Z2-7]{55}$/);
    assert.match(second.leaf('us-1').seed, /^SU/);
    const secrets = [second.hubSys, second.hubLink, ...Object.values(second.cell('eu-1')), ...Object.values(second.cell('us-1'))];
    assert.equal(new Set(secrets).size, secrets.length);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a fabric of a single cell runs: its hub has nobody to meet, its stream nobody to hear', async () => {
  await using fabric = await NatsFabric.start({ cells: ['us-2'] });
  const bus = await fabric.bus('us-2');
  await bus.ensureInbound({ maxBytes: 1024 * 1024, replicas: 1 });
  const inside = await fabric.cellBus('us-2');
  const other = await fabric.cellBus('us-2');
  await inside.ensureJobs({ maxBytes: 1024 * 1024, replicas: 1 });
  const pushes: string[] = [];
  inside.subscribePush((bytes, p) => pushes.push(`${p} ${new TextDecoder().decode(bytes)}`));
  await until(() => {
    inside.publishPush(1, new TextEncoder().encode('own'));
    other.publishPush(2, new TextEncoder().encode('hello'));
    return pushes.length > 0;
  }, 'a node hears the other');
  assert.deepEqual([...new Set(pushes)], ['2 hello']);
});
