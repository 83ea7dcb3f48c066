import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leafPermissions } from '@weft/proto/subjects.ts';
import type { NatsCredentials } from './nats-credentials.ts';
import { natsTopology } from './nats-topology.ts';
import { planFabric } from './plan.ts';

const credentials: NatsCredentials = {
  hubSys: '1secret-hub-sys',
  hubLink: '2secret-hub-link',
  directory: { publicKey: 'UDIRECTORY', seed: 'SUsecret-directory' },
  leaf: (cell) => ({ publicKey: `UPUBLIC-${cell}`, seed: `SUsecret-${cell}` }),
  cell: (name) => ({ fabric: `secret-fabric-${name}`, cell: `secret-cell-${name}`, sys: `secret-sys-${name}` }),
};
const servers = natsTopology({ plan: planFabric({ portBase: 21_000 }), credentials });
const text = (name: string): string => servers.find((each) => each.name === name)?.text ?? '';

test('a hub per region and a server per cell, on the ports of the plan', () => {
  assert.deepEqual(
    servers.map(({ name, ports }) => [name, ports]),
    [
      ['hub-eu', [21_100, 21_101, 21_102, 21_103]],
      ['hub-us', [21_110, 21_111, 21_112, 21_113]],
      ['nats-eu-1', [21_400, 21_403]],
      ['nats-eu-2', [21_410, 21_413]],
      ['nats-us-1', [21_420, 21_423]],
      ['nats-us-2', [21_430, 21_433]],
    ],
  );
});

test('no text holds a secret, and each variable it names has a value', () => {
  for (const { name, text: file, env } of servers) {
    assert.doesNotMatch(file, /secret/, name);
    const named = new Set([...file.matchAll(/\$(WEFT_[A-Z_]+)/g)].map(([, variable]) => variable));
    assert.deepEqual([...named].sort(), Object.keys(env).sort(), name);
  }
});

test('a hub knows the cells of its own region only, each by its key and with its permissions', () => {
  const eu = text('hub-eu');
  for (const cell of ['eu-1', 'eu-2']) {
    assert(eu.includes(`nkey: UPUBLIC-${cell}`));
    for (const subject of [...leafPermissions(cell).publish, ...leafPermissions(cell).subscribe])
      assert(eu.includes(JSON.stringify(subject)), subject);
  }
  assert.doesNotMatch(eu, /us-1|us-2/);
  assert.equal(eu.match(/allowed_connection_types: \["LEAFNODE"\]/g)?.length, 2);
});

test('hubs keep no streams, cells have a domain of their own and bridge FABRIC alone', () => {
  for (const hub of ['hub-eu', 'hub-us']) assert.doesNotMatch(text(hub), /jetstream/);
  for (const cell of ['eu-1', 'us-2']) {
    assert.match(text(`nats-${cell}`), new RegExp(`domain: ${cell}\n`));
    assert.deepEqual(text(`nats-${cell}`).match(/(?<!_)account: \w+/g), ['account: FABRIC']);
  }
});
