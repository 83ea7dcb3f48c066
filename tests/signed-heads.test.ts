// The owner's signed word on a log, over real cells: pushed to members everywhere, on request, and kept by the witness.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import type { Append, Entry, SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { headBytes } from '@weft/proto/signed-head.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { chainedOf } from './chained-entry.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { rejections } from './hostile-cell.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const chain = new Chain(sha256);
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
});
after(async () => {
  await fabric?.stop();
});

/** Hash of the last of these entries, which begin at seq 1; every prev is checked on the way. */
function hashOfAll(entries: readonly Entry[]): Uint8Array {
  return entries.reduce((prev, entry) => {
    assert.deepEqual(Buffer.from(entry.prev ?? []), Buffer.from(prev), `prev of ${entry.seq}`);
    return chain.next(chainedOf(entry), prev);
  }, chainStart);
}

interface Jwk {
  readonly kid: string;
  readonly [field: string]: string;
}

async function isSigned(head: SignedHead, node: string): Promise<boolean> {
  const { body } = await fabric.rest(node, '/.well-known/jwks.json');
  const jwk = (body.keys as Jwk[]).find(({ kid }) => kid === head.kid);
  assert.ok(jwk, `the home cell publishes ${head.kid}`);
  return verify(null, headBytes(head), createPublicKey({ key: { ...jwk }, format: 'jwk' }), head.signature);
}

const read = (client: RawClient, log: bigint, witness = false): Promise<SignedHead> =>
  client.ask({ $case: 'readSignedHead', value: { log, witness } }, 'signedHead');

test('a head is signed by its owner and told to members in both cells, who find it to be the hash of what they hold', async () => {
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.openDirect(bo.user);
  for (let i = 0; i < 70; i++) await ana.accepted({ log }, `word ${i}`);
  const last = 71n;
  for (const [member, node] of [
    [ana, 'node-eu-1-a'],
    [bo, 'node-us-1-a'],
  ] as const) {
    const head = await member.next('signedHead', { where: (each) => each.log === log && each.seq === last });
    const held = await member.history(log, 25);
    assert.deepEqual(Buffer.from(head.hash), Buffer.from(hashOfAll(held)), 'recomputed over pages, across a check point');
    assert.ok(await isSigned(head, node));
    assert.equal(head.kid, 'eu-1.head.1');
    assert.equal(await isSigned({ ...head, seq: last - 1n }, node), false);
  }
  const pushed = bo.pushed().filter((entry) => entry.log === log);
  assert.deepEqual(Buffer.from(pushed.at(-1)?.prev ?? []), Buffer.from((await bo.history(log)).at(-1)?.prev ?? []), 'pushed as stored');
});

test('on request the owner signs at once, and the witness tells what the owner signed before', async () => {
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.openDirect(bo.user);
  const { seq } = await ana.accepted({ log }, 'one more');
  const fresh = await read(ana, log);
  assert.equal(fresh.seq, seq);
  assert.deepEqual(await read(bo, log), fresh, 'the other cell asks the owner');
  for (const member of [bo, ana]) {
    let kept: SignedHead | undefined;
    await until('the witness has it', async () => {
      const event = await member.request({ $case: 'readSignedHead', value: { log, witness: true } });
      kept = event.$case === 'signedHead' ? event.value : undefined;
      return kept?.seq === seq;
    });
    assert.deepEqual([kept?.hash, kept?.kid], [fresh.hash, 'eu-1.head.1']);
  }
  const rows = () => fabric.sql('us-1', 'select seq, hash from witnessed_heads where log_id = $1', [log]);
  await until('it is stored', async () => (await rows()).some((row) => row.seq === seq));
  assert.deepEqual(await rows(), [{ seq, hash: Buffer.from(fresh.hash) }], 'one row, the newest');
});

test('a log that no other cell keeps has a witness all the same, and no stranger gets its head', async () => {
  const [ana, eve] = [await fabric.client('ana', 'eu-1'), await fabric.client('eve', 'eu-1')];
  const log = await ana.createGroup([]);
  await ana.accepted({ log }, 'a note to myself');
  await until(
    'the other cell has it',
    async () => (await ana.request({ $case: 'readSignedHead', value: { log, witness: true } })).$case === 'signedHead',
  );
  assert.equal(await eve.faultOf({ $case: 'readSignedHead', value: { log, witness: false } }), 'unknown_log');
  assert.equal(await eve.faultOf({ $case: 'readSignedHead', value: { log, witness: true } }), 'unknown_log');
  const self = await read(ana, ana.user);
  assert.deepEqual(Buffer.from(self.hash), Buffer.from(hashOfAll(await ana.history(ana.user))), 'a self log on request');
});

test('an edit and a deletion empty what they name in both cells, and the chain over pages stays the owner’s', async () => {
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.createGroup([bo.user]);
  const change = (client: RawClient, content: NonNullable<Append['content']>) =>
    client.request({
      $case: 'append',
      value: { target: { $case: 'log', value: log }, clientEntryId: client.freshEntryId(), followedBy: [], content },
    });
  await ana.accepted({ log }, 'words that were wrong');
  await ana.accepted({ log }, 'words better not said');
  assert.equal((await change(ana, { $case: 'edited', value: { seq: 2n, text: 'the right words' } })).$case, 'accepted');
  assert.equal((await change(ana, { $case: 'deleted', value: { seq: 3n } })).$case, 'accepted');
  await bo.toldUpTo(log, 5);
  // Not its own: the owner, another cell, refuses.
  assert.equal((await change(bo, { $case: 'deleted', value: { seq: 4n } })).$case, 'pending');
  assert.equal((await bo.next('refused', { where: (refused) => refused.log === log })).code, 'not_allowed');
  const head = await read(bo, log);
  for (const [client, cell] of [
    [ana, 'eu-1'],
    [bo, 'us-1'],
  ] as const) {
    const entries = await client.history(log);
    assert.deepEqual(
      entries.map(({ flags }) => flags),
      [0, 2, 2, 0, 0],
    );
    assert.deepEqual(Buffer.from(hashOfAll(entries)), Buffer.from(head.hash));
    const words = await fabric.sql(cell, 'select 1 from entries where log_id = $1 and position($2 in body) > 0', [
      log,
      Buffer.from('words'),
    ]);
    assert.equal(words.length, 1, 'only the right ones are stored');
  }
  assert.equal((await change(ana, { $case: 'deleted', value: { seq: 3n } })).$case, 'fault', 'once');
});

test('a replica whose last entry is another than the owner signed is frozen, and the alarm names the owner', async () => {
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.createGroup([bo.user]);
  await ana.accepted({ log }, 'as it was said');
  await until(
    'it is there',
    async () => (await fabric.sql('us-1', 'select 1 from logs where log_id = $1 and head = 2', [log])).length === 1,
  );
  // As if another word had come and been stored.
  await fabric.sql('us-1', 'update logs set head_hash = $2 where log_id = $1', [log, Buffer.alloc(32, 7)]);
  await until('frozen', async () => (await fabric.sql('us-1', 'select 1 from logs where log_id = $1 and status = 2', [log])).length === 1);
  assert.equal((await rejections(fabric, 'node-us-1-a')).get('head fork eu-1'), 1);
});
