import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { Connection } from './edge/greeted.ts';
import { SessionsWatch } from './sessions-watch.ts';

/** A socket that keeps why it was closed. */
class Socket implements Connection {
  readonly closed: string[] = [];

  push(): void {}

  tell(): void {}

  close(reason: string): void {
    this.closed.push(reason);
  }
}

/** By the device's clock; when this node says it was is of no interest. */
const at = (order: number) => ({ openedAt: 9_000, order });

let watch: SessionsWatch;
let socket: Socket;

beforeEach(() => {
  watch = new SessionsWatch(4);
  socket = new Socket();
  watch.greeted({ session: 7n, user: 1n, device: 'phone' }, socket, at(1_000));
});

const opened = (openedAt: bigint, session = 7n) => [{ session, openedAt }];

test('a newer socket of the same session replaces the older one, here or at another node', () => {
  const newer = new Socket();
  watch.greeted({ session: 7n, user: 1n, device: 'phone' }, newer, at(2_000));
  assert.deepEqual([socket.closed, newer.closed], [['replaced'], []]);
  watch.openedElsewhere(opened(2_001n), 1);
  assert.deepEqual(newer.closed, ['replaced']);
});

test('an older socket of another node, told late, replaces nothing; nor does another session', () => {
  watch.openedElsewhere(opened(999n), 9);
  watch.openedElsewhere(opened(5_000n, 8n), 9);
  assert.deepEqual(socket.closed, []);
});

test('of two at the same moment exactly one stays', () => {
  const [other, mirror] = [new SessionsWatch(9), new Socket()];
  other.greeted({ session: 7n, user: 1n, device: 'phone' }, mirror, at(1_000));
  watch.openedElsewhere(opened(1_000n), 9);
  other.openedElsewhere(opened(1_000n), 4);
  assert.deepEqual([socket.closed, mirror.closed], [['replaced'], []]);
});

test('a socket that left is not closed again', () => {
  watch.left(7n, socket);
  watch.openedElsewhere(opened(5_000n), 9);
  watch.end([7n]);
  assert.deepEqual(socket.closed, []);
});
