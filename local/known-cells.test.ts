// A router that has not heard of a cell yet holds up the fabric's start, for so long and no longer.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { untilCellsAreKnown } from './known-cells.ts';

/** Answers `GET /v1/cells` as a router does that hears of eu-2's node at the given asking. */
async function router(heardAt: number) {
  let asked = 0;
  const server = createServer((request, response) => {
    assert.equal(request.url, '/v1/cells');
    asked += 1;
    const urls = asked >= heardAt ? ['ws://127.0.0.1:1'] : [];
    response.end(
      JSON.stringify({
        cells: [
          { name: 'eu-1', urls: ['ws://127.0.0.1:2'] },
          { name: 'eu-2', urls },
        ],
      }),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { name: 'router-eu', url, asked: () => asked, [Symbol.dispose]: () => void server.close() };
}

test('every router is asked until it knows a node of every cell', async () => {
  using early = await router(1);
  using late = await router(3);
  await untilCellsAreKnown({ routers: [early, late], cells: ['eu-1', 'eu-2'] });
  assert.deepEqual([early.asked(), late.asked()], [1, 3]);
});

test('a cell without a node is not waited for, and a start that is given up ends the waiting', async () => {
  using never = await router(Number.POSITIVE_INFINITY);
  await untilCellsAreKnown({ routers: [never], cells: ['eu-1'] });
  await assert.rejects(untilCellsAreKnown({ routers: [never], cells: ['eu-2'], signal: AbortSignal.timeout(150) }), {
    name: 'TimeoutError',
  });
});
