// A store that takes no sessions is asked for one a few times a second, however often a lane wants it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { isRetryable } from '@weft/runtime/sql.ts';
import { cellLimits } from '../limits.ts';
import { WriteSessions } from './write-sessions.ts';

test('a session that could not be opened is not tried again before its pause; meanwhile the same error is told', async () => {
  let connections = 0;
  const store = createServer((socket) => {
    connections += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(store, 'listening');
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonic: () => nowMs };
  const url = `postgres://nobody@127.0.0.1:${(store.address() as AddressInfo).port}/none`;
  await using sessions = new WriteSessions(url, silentLog(), { clock });
  const failure = (lane: number): Promise<unknown> =>
    sessions.get(lane).then(
      () => assert.fail('it was opened'),
      (error: unknown) => error,
    );
  const first = await failure(0);
  assert.ok(isRetryable(first), String(first));
  nowMs = cellLimits.sessionAgainMs - 1;
  for (let n = 0; n < 50; n++) assert.equal(await failure(0), first);
  assert.equal(connections, 1);
  await failure(1);
  assert.equal(connections, 2, 'another lane has a pause of its own');
  nowMs = cellLimits.sessionAgainMs;
  await failure(0);
  assert.equal(connections, 3);
  store.close();
});
