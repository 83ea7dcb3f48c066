import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { afterClose, type Connection, type ConnectionEvent, type Effect, idleConnection, type StateName, step } from './connection.ts';
import { clientLimits as limits } from './limits.ts';

const resting: ReadonlySet<StateName> = new Set(['idle', 'stopped']);
const hour = 3_600_000;

/** What the model keeps beside the state: what the effects have started. */
interface World {
  c: Connection;
  nowMs: number;
  /** Turns with a look-up or socket. */
  started: Set<number>;
  attached: number | undefined;
  lastHeardMs: number;
}

type Act = { readonly kind: 'event'; readonly make: (c: Connection) => ConnectionEvent } | { readonly kind: 'wait'; readonly ms: number };

const retry = fc.constantFrom('never' as const, 'later' as const, 'elsewhere' as const);
const afterMs = fc.constantFrom(0, 5, 3_000, 10_000_000);
const url = fc.constantFrom('', 'http://a', 'http://c');
const closeCode = fc.constantFrom(1000, 1001, 1006, 1008, 1011, 1013, 4001, 4003, 4004, 4999);
const stale = fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) });

/** Events that may happen in any state, mostly of the turn under way, without those that end the client. */
const events: fc.Arbitrary<(c: Connection) => ConnectionEvent> = fc
  .tuple(stale, afterMs, url, closeCode, retry, fc.integer({ min: 0, max: 13 }), fc.boolean())
  .map(([old, after, to, code, advice, which, flag]) => (c: Connection): ConnectionEvent => {
    const turn = c.turn - old;
    const soft = advice === 'never' ? 'later' : advice;
    const tokenEndsMs = flag ? c.sinceMs + 600_000 : c.sinceMs + 1_000;
    const all: ConnectionEvent[] = [
      { on: 'located', turn, urls: flag ? ['http://a', 'http://b'] : [], tokenEndsMs },
      { on: 'locateFailed', turn, retry: soft, afterMs: after, reason: 'x' },
      { on: 'opened', turn },
      { on: 'opened', turn },
      { on: 'closed', turn, code },
      { on: 'welcomed', turn, heartbeatMs: flag ? 10_000 : 10_000_000, tokenEndsMs },
      { on: 'welcomed', turn, heartbeatMs: 10_000, tokenEndsMs: c.sinceMs + 600_000 },
      { on: 'redirected', turn, url: to, afterMs: after },
      { on: 'helloRefused', turn, code: flag ? 'token_expired' : 'busy', retry: flag ? 'never' : soft, afterMs: after, reason: 'x' },
      { on: 'caughtUp', turn },
      { on: 'heartbeat', turn },
      { on: 'leaving', turn, url: to, afterMs: after },
      { on: 'renewed', turn, tokenEndsMs },
      flag ? { on: 'hurry' } : { on: 'stuck', turn, reason: 'x' },
    ];
    return all[which] ?? { on: 'tick' };
  });

const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: events.map((make) => ({ kind: 'event' as const, make })) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 90_000 }).map((ms) => ({ kind: 'wait' as const, ms })) },
);

function apply(w: World, event: ConnectionEvent, draw: number): void {
  const before = w.c;
  const [next, effects] = step(before, event, { nowMs: w.nowMs, draw });
  w.c = next;
  if (event.on === 'heartbeat' && event.turn === before.turn) w.lastHeardMs = w.nowMs;
  if (event.on === 'closed' && before.name !== 'locating' && event.turn === before.turn) w.started.delete(event.turn);
  for (const effect of effects) follow(w, effect);
  legal(w);
}

function follow(w: World, effect: Effect): void {
  switch (effect.do) {
    case 'locate':
    case 'open':
      w.started.add(effect.turn);
      break;
    case 'abandon':
      w.started.delete(effect.turn);
      break;
    case 'hello':
      assert.equal(w.c.name, 'greeting');
      break;
    case 'attach':
      assert.equal(w.attached, undefined, 'attached twice');
      w.attached = effect.turn;
      w.lastHeardMs = w.nowMs;
      break;
    case 'detach':
      assert.equal(w.attached, effect.turn, 'detached what was not attached');
      w.attached = undefined;
      break;
    case 'renew':
      assert.equal(w.c.name, 'live');
      break;
  }
}

/** What must hold in every state. */
function legal({ c, nowMs, started, attached, lastHeardMs }: World): void {
  const working: ReadonlySet<StateName> = new Set(['locating', 'connecting', 'greeting', 'resuming', 'live']);
  assert.equal(started.size, working.has(c.name) ? 1 : 0, `${c.name} holds ${started.size} sockets and look-ups`);
  assert.equal(attached !== undefined, c.name === 'resuming' || c.name === 'live', `${c.name}, attached ${attached}`);
  if (resting.has(c.name)) {
    assert.equal(c.deadlineMs, Number.POSITIVE_INFINITY);
    return;
  }
  assert.ok(c.deadlineMs - nowMs <= limits.stateMsMax, `${c.name} may rest ${c.deadlineMs - nowMs} ms`);
  if (c.name === 'live') assert.ok(c.deadlineMs <= lastHeardMs + limits.stateMsMax);
  else assert.ok(c.deadlineMs - c.sinceMs <= limits.stateMsMax, `${c.name} lasts ${c.deadlineMs - c.sinceMs} ms`);
}

/** Fires the deadlines that fall into the next `ms`; a state whose deadline passed must have moved on. */
function wait(w: World, ms: number, draw: number): void {
  const untilMs = w.nowMs + ms;
  for (let ticks = 0; w.c.deadlineMs <= untilMs; ticks++) {
    assert.ok(ticks < 10_000, 'time does not move on');
    w.nowMs = Math.max(w.nowMs, w.c.deadlineMs);
    const before = w.c;
    apply(w, { on: 'tick' }, draw);
    assert.ok(w.c.name !== before.name || w.c.turn !== before.turn || w.c.deadlineMs > w.nowMs, `a tick changed nothing in ${before.name}`);
  }
  w.nowMs = untilMs;
}

const world = (): World => ({ c: idleConnection, nowMs: 0, started: new Set(), attached: undefined, lastHeardMs: 0 });
const start: ConnectionEvent = { on: 'start', urls: ['http://a', 'http://b'], tokenEndsMs: 600_000 };

/** Answers everything as a healthy cell would, until live. */
function recover(w: World): void {
  for (let i = 0; i < 20 && w.c.name !== 'live'; i++) {
    const { name, turn } = w.c;
    const tokenEndsMs = w.nowMs + hour;
    if (name === 'locating') apply(w, { on: 'located', turn, urls: ['http://a'], tokenEndsMs }, 0.5);
    else if (name === 'connecting') apply(w, { on: 'opened', turn }, 0.5);
    else if (name === 'greeting') apply(w, { on: 'welcomed', turn, heartbeatMs: 10_000, tokenEndsMs }, 0.5);
    else if (name === 'resuming') apply(w, { on: 'caughtUp', turn }, 0.5);
    else wait(w, Math.max(0, w.c.deadlineMs - w.nowMs), 0.5);
  }
}

describe('the connection', () => {
  it('leaves every state within 60 s whatever happens, and holds at most one socket', () => {
    const seen = new Set<StateName>();
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.tuple(acts, fc.double({ min: 0, max: 0.999, noNaN: true })), { maxLength: 120 }),
        (isLive, walk) => {
          const w = world();
          apply(w, start, 0);
          // By chance alone few walks get that far.
          if (isLive) recover(w);
          for (const [act, draw] of walk) {
            seen.add(w.c.name);
            if (act.kind === 'wait') wait(w, act.ms, draw);
            else apply(w, act.make(w.c), draw);
          }
          assert.notEqual(w.c.name, 'stopped', `nothing here ends the client, but: ${w.c.reason}`);
          recover(w);
          assert.equal(w.c.name, 'live', 'a healthy cell is reached again');
        },
      ),
      { numRuns: 2_000 },
    );
    for (const name of ['locating', 'connecting', 'greeting', 'resuming', 'live', 'waiting'] as const)
      assert.ok(seen.has(name), `never saw ${name}`);
  });

  it('waits longer after each failure, up to 15 s, and starts anew after a connection that held', () => {
    const w = world();
    apply(w, start, 0);
    const pauses: number[] = [];
    for (let i = 0; i < 10; i++) {
      apply(
        w,
        w.c.name === 'locating'
          ? { on: 'locateFailed', turn: w.c.turn, retry: 'later', afterMs: 0, reason: '' }
          : { on: 'closed', turn: w.c.turn, code: 1006 },
        0.999,
      );
      pauses.push(w.c.deadlineMs - w.nowMs);
      wait(w, w.c.deadlineMs - w.nowMs, 0.999);
    }
    assert.ok(pauses.every((pause, i) => i === 0 || pause >= (pauses[i - 1] ?? 0)));
    assert.ok((pauses.at(-1) ?? 0) <= limits.backoffMsMax);
    assert.ok((pauses.at(-1) ?? 0) > limits.backoffMsMax * 0.9);
    recover(w);
    for (let i = 0; i < 3; i++) {
      w.nowMs += 5_000;
      apply(w, { on: 'heartbeat', turn: w.c.turn }, 0);
    }
    apply(w, { on: 'closed', turn: w.c.turn, code: 1006 }, 0.999);
    assert.ok(w.c.deadlineMs - w.nowMs <= limits.backoffBaseMs);
  });

  it('waits as long as the server asks, and no longer than a minute', () => {
    for (const [asked, least] of [
      [3_000, 3_000],
      [10_000_000, limits.askedPauseMsMax],
    ] as const) {
      const w = world();
      apply(w, start, 0);
      recover(w);
      apply(w, { on: 'leaving', turn: w.c.turn, url: 'http://b', afterMs: asked }, 0.5);
      assert.ok(w.c.deadlineMs - w.nowMs >= least);
      assert.equal(w.c.urls[0], 'http://b');
    }
  });

  it('follows one redirect and asks the router after the second', () => {
    const w = world();
    apply(w, start, 0);
    apply(w, { on: 'opened', turn: w.c.turn }, 0);
    apply(w, { on: 'redirected', turn: w.c.turn, url: 'http://c', afterMs: 0 }, 0);
    assert.equal(w.c.name, 'connecting');
    assert.equal(w.c.urls[0], 'http://c');
    apply(w, { on: 'opened', turn: w.c.turn }, 0);
    apply(w, { on: 'redirected', turn: w.c.turn, url: 'http://a', afterMs: 0 }, 0);
    wait(w, w.c.deadlineMs - w.nowMs, 0);
    assert.equal(w.c.name, 'locating');
    assert.equal(w.c.lookUp, true);
  });

  it('does what the catalogue says after each close code', () => {
    const after: [number, StateName][] = [
      [4005, 'stopped'],
      [4002, 'stopped'],
      [1002, 'stopped'],
      [1009, 'stopped'],
      [4001, 'waiting'],
      [4003, 'waiting'],
      [1013, 'waiting'],
      [1000, 'waiting'],
      [4999, 'waiting'],
    ];
    for (const [code, name] of after) {
      const w = world();
      apply(w, start, 0);
      recover(w);
      apply(w, { on: 'closed', turn: w.c.turn, code }, 0);
      assert.equal(w.c.name, name, `${code}`);
      assert.equal(w.c.refresh, code === 4001);
    }
    assert.equal(afterClose(4999), 'reconnect');
  });

  it('tells a socket that never opened from one that was cut', () => {
    for (const [opens, reason] of [
      [false, 'the node takes no connection'],
      [true, 'the connection was cut'],
    ] as const) {
      const w = world();
      apply(w, start, 0);
      if (opens) recover(w);
      apply(w, { on: 'closed', turn: w.c.turn, code: 1006 }, 0);
      assert.deepEqual([w.c.name, w.c.reason], ['waiting', reason]);
    }
  });

  it('stops when only a log-in helps, and when the caller says so', () => {
    const w = world();
    apply(w, start, 0);
    apply(w, { on: 'opened', turn: w.c.turn }, 0);
    apply(w, { on: 'helloRefused', turn: w.c.turn, code: 'session_ended', retry: 'never', afterMs: 0, reason: 'ended' }, 0);
    assert.deepEqual([w.c.name, w.c.stop], ['stopped', 'login']);
    const other = world();
    apply(other, start, 0);
    recover(other);
    apply(other, { on: 'stop' }, 0);
    assert.deepEqual([other.c.name, other.c.stop], ['stopped', 'closed']);
  });

  it('renews the token before its end and drops a connection without heartbeats', () => {
    const w = world();
    apply(w, start, 0);
    recover(w);
    const renewAtMs = w.c.renewAtMs;
    while (w.nowMs < renewAtMs) {
      w.nowMs = Math.min(renewAtMs, w.nowMs + 10_000);
      apply(w, { on: 'heartbeat', turn: w.c.turn }, 0);
    }
    const [next, effects] = step(w.c, { on: 'tick' }, { nowMs: w.nowMs, draw: 0 });
    assert.deepEqual(effects, [{ do: 'renew', turn: w.c.turn }]);
    assert.equal(next.name, 'live');
    w.c = next;
    wait(w, limits.silenceMsMax, 0);
    assert.notEqual(w.c.name, 'live');
  });
});
