// The doors of a node as pages and operators meet them: who may call from elsewhere, and which lines belong to a request.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startFabric, type TestFabric } from './harness.ts';
import { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const node = 'node-eu-1-a';
const [page, other] = ['https://chat.example', 'https://evil.example'];
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1'], env: { [node]: { WEFT_ORIGINS: `${page},https://app.example` } } });
});

after(() => fabric?.stop());

const call = (origin: string | undefined, init: RequestInit = {}): Promise<Response> =>
  fetch(`${fabric.url(node)}/v1/users/by-handle/nobody`, {
    ...init,
    headers: { ...(origin === undefined ? {} : { origin }), ...init.headers },
    signal: AbortSignal.timeout(5_000),
  });

test('a page of a named origin may call and read the answer, any other page may not', async () => {
  const allowed = await call(page);
  assert.deepEqual(
    ['access-control-allow-origin', 'cross-origin-resource-policy', 'vary'].map((name) => allowed.headers.get(name)),
    [page, 'cross-origin', 'origin'],
  );
  for (const origin of [other, `${page}.evil.example`, 'null', undefined]) {
    const refused = await call(origin);
    assert.deepEqual(
      [refused.status, refused.headers.get('access-control-allow-origin'), refused.headers.get('cross-origin-resource-policy')],
      [404, null, 'same-origin'],
      `${origin}`,
    );
  }
});

test('a browser that asks before it calls is told what a named origin may do, and any other nothing', async () => {
  const ask = {
    method: 'OPTIONS',
    headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
  };
  const allowed = await call('https://app.example', ask);
  assert.deepEqual([allowed.status, allowed.headers.get('access-control-allow-methods')], [204, 'GET, POST, DELETE']);
  assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /authorization/);
  const refused = await call(other, ask);
  assert.deepEqual([refused.status, refused.headers.get('access-control-allow-methods')], [404, null]);
});

const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
const traceparent = `00-${trace}-00f067aa0ba902b7-01`;

/** Lines of the node's log that carry this trace id. */
function traced(id: string): Record<string, unknown>[] {
  const lines = readFileSync(join(fabric.fabric.dataDir, 'logs', `${node}.log`), 'utf8').split('\n');
  return lines.flatMap((line) => (line.includes(id) ? [JSON.parse(line) as Record<string, unknown>] : []));
}

/** While it runs, a table is not there: requests that need it fail for no reason of theirs. */
async function without(table: string, act: () => Promise<void>): Promise<void> {
  await fabric.sql('eu-1', `alter table ${table} rename to gone`);
  try {
    await act();
  } finally {
    await fabric.sql('eu-1', `alter table gone rename to ${table}`);
  }
}

test('what a request leaves in the log carries the trace id it came with, and the answer tells it', async () => {
  await without('users', async () => {
    const answer = await fetch(`${fabric.url(node)}/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent },
      body: JSON.stringify({ handle: 'nobody', password: 'a long enough password', device: 'phone' }),
    });
    assert.deepEqual([answer.status, answer.headers.get('x-trace-id')], [500, trace]);
  });
  const [line] = traced(trace);
  assert.deepEqual([line?.msg, line?.route, line?.cell], ['a request failed', '/v1/sessions', 'eu-1']);
  assert.doesNotMatch(JSON.stringify(line), /nobody|long enough/);
  assert.match((await call(undefined)).headers.get('x-trace-id') ?? '', /^[0-9a-f]{32}$/);
});

test('what goes wrong on a socket carries the trace id of its upgrade', async () => {
  const id = trace.replace('4bf9', 'aaaa');
  const { token, device, user } = await fabric.device('ana', 'eu-1');
  await using ana = await RawClient.connect({ url: fabric.url(node), headers: { traceparent: traceparent.replace(trace, id) } });
  await ana.hello({ token, device });
  await without('entries', async () => {
    assert.equal(await ana.faultOf({ $case: 'readHistory', value: { log: user, from: 1n, before: 0n, limit: 0 } }), 'internal');
  });
  await until('it is in the log', () => traced(id).length > 0);
  assert.equal(traced(id)[0]?.msg, 'a request failed');
});
