import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodePush } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { NodePushes } from './node-pushes.ts';

const start = 1_800_000_000_123;

function stage() {
  const told: Uint8Array[] = [];
  const hearing: ((bytes: Uint8Array) => void)[] = [];
  const marks: unknown[] = [];
  const holes: number[] = [];
  const broker = { isAway: false };
  const bus = {
    publishPush: (_: number, bytes: Uint8Array) => told.push(bytes) > 0 && !broker.isAway,
    subscribePush: (on: (bytes: Uint8Array, p: number) => void) => {
      hearing.push((bytes) => on(bytes, 0));
      return { [Symbol.dispose]: () => undefined };
    },
  };
  const clock = new ManualClock(0);
  const ignored = (): void => undefined;
  const pushes = new NodePushes({
    bus,
    clock,
    node: 0,
    start,
    onRuns: ignored,
    onEpochs: ignored,
    onMarks: (moved) => marks.push(...moved),
    onSignedHeads: ignored,
    onSessionsEnded: ignored,
    onSessionsOpened: ignored,
    onHole: () => holes.push(1),
  });
  return { pushes, told, marks, holes, clock, broker, hear: (bytes: Uint8Array) => hearing[0]?.(bytes) };
}

const nothing = NodePush.fromPartial({});
const mark = { log: 1n, user: 2n, kind: 'MARK_KIND_SEEN', epoch: 3n, seq: 4n } as const;
const pushOf = (part: Partial<NodePush>): Uint8Array => NodePush.encode({ ...nothing, node: 7, start: BigInt(start), ...part }).finish();

test('what a node writes by hand is what the contract says, beat or push', () => {
  const { pushes, told, hear } = stage();
  hear(pushOf({ counter: 1n, beat: true }));
  pushes.tellMarks([mark]);
  const [beat, push] = told.map((bytes) => NodePush.decode(bytes));
  assert.deepEqual(beat, { ...nothing, start: BigInt(start), beat: true });
  assert.deepEqual(push, { ...nothing, start: BigInt(start), counter: 1n, marks: [mark] });
});

test('a front is read whatever stands in it: large numbers, none, fields of a later version', () => {
  const { marks, holes, hear } = stage();
  hear(pushOf({ counter: BigInt(Number.MAX_SAFE_INTEGER) - 1n, beat: true }));
  assert.equal(holes.length, 1, 'a node that is new');
  const push = pushOf({ counter: BigInt(Number.MAX_SAFE_INTEGER), marks: [mark] });
  // Field 15, a number.
  hear(Buffer.concat([Buffer.of(0x78, 0x85, 0x01), push]));
  assert.deepEqual(marks, [mark]);
  assert.equal(holes.length, 1, 'nothing was missed');
  hear(pushOf({ node: 0, start: 0n }));
  assert.equal(holes.length, 2, 'another node that is new');
});

test('a counter that was passed over is a hole', () => {
  const { holes, hear } = stage();
  hear(pushOf({ counter: 5n, beat: true }));
  hear(pushOf({ counter: 6n, marks: [mark] }));
  hear(pushOf({ counter: 6n, beat: true }));
  assert.equal(holes.length, 1);
  hear(pushOf({ counter: 8n, marks: [mark] }));
  assert.equal(holes.length, 2);
  hear(pushOf({ counter: 9n, beat: true }));
  assert.equal(holes.length, 3);
});

test('while the broker is away, what others commit is looked for twice a second, and not after that', () => {
  const { holes, clock, broker, pushes } = stage();
  clock.advance(3_000);
  assert.equal(holes.length, 0);
  broker.isAway = true;
  clock.advance(3_000);
  assert.ok(holes.length >= 5 && holes.length <= 6, `${holes.length} looks in 3 s`);
  broker.isAway = false;
  clock.advance(1_000);
  const before = holes.length;
  clock.advance(3_000);
  assert.equal(holes.length, before);
  pushes[Symbol.dispose]();
});
