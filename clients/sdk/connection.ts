// The life of a client's connection as a pure function: (state, event, moment) → [state, effects]. The shell (line.ts)
// carries the effects out and brings back what came of them. One timer is enough: it fires `tick` at `deadlineMs`.
//
//   idle        not started. Rests until `start`.
//   locating    gets a fresh token and the addresses of the home cell.     ≤ locateMsMax, then waiting
//   connecting  opens a socket to one address.                             ≤ connectMsMax, then waiting
//   greeting    Hello is sent.                                             ≤ greetMsMax, then waiting
//   resuming    Welcome came: what was missed is fetched, what was         ≤ resumeMsMax, then live (the rest is fetched there)
//               unanswered is sent again.
//   live        in step with the cell.                                     ≤ silenceMsMax without a heartbeat, then waiting
//   waiting     a pause before the next try: full jitter, or what the      ≤ stateMsMax
//               server asked for.
//   stopped     closed by the caller, or nothing but a person can help. Rests for ever.
//
// What the shell starts (a look-up, a socket) carries the number of its turn, and an event of an older turn is ignored:
// so nothing an abandoned socket says can disturb the next one.

import { type AfterClose, closeCodes } from '@weft/proto/close-codes.ts';
import type { RetryAdvice } from '@weft/proto/faults.ts';

import { clientLimits as limits } from './limits.ts';

export type StateName = 'idle' | 'locating' | 'connecting' | 'greeting' | 'resuming' | 'live' | 'waiting' | 'stopped';
/** closed: by the caller · login: log in again · replaced: this device connected elsewhere · protocol: a bug of one side. */
export type StopReason = 'closed' | 'login' | 'replaced' | 'protocol';

/** All times are of the monotonic clock, in milliseconds. */
export interface Connection {
  readonly name: StateName;
  readonly sinceMs: number;
  /** When `tick` is due; infinite in idle and stopped. */
  readonly deadlineMs: number;
  /** Number of the newest look-up or socket. */
  readonly turn: number;
  /** Addresses of the home cell's nodes; the first is tried next. */
  readonly urls: readonly string[];
  readonly tokenEndsMs: number;
  /** Tries that failed since the connection last held. */
  readonly failures: number;
  readonly redirects: number;
  /** Ask the router for the home before the next try. */
  readonly lookUp: boolean;
  /** The token was refused: get another before the next try. */
  readonly refresh: boolean;
  readonly heardMs: number;
  readonly silenceMs: number;
  readonly renewAtMs: number;
  /** Why it waits or stopped, for people. */
  readonly reason: string;
  readonly stop: StopReason | undefined;
}

export type ConnectionEvent =
  | { readonly on: 'start'; readonly urls: readonly string[]; readonly tokenEndsMs: number }
  | { readonly on: 'located'; readonly turn: number; readonly urls: readonly string[]; readonly tokenEndsMs: number }
  | { readonly on: 'locateFailed'; readonly turn: number; readonly retry: RetryAdvice; readonly afterMs: number; readonly reason: string }
  | { readonly on: 'opened'; readonly turn: number }
  | { readonly on: 'closed'; readonly turn: number; readonly code: number }
  | { readonly on: 'welcomed'; readonly turn: number; readonly heartbeatMs: number; readonly tokenEndsMs: number }
  | { readonly on: 'redirected'; readonly turn: number; readonly url: string; readonly afterMs: number }
  | {
      readonly on: 'helloRefused';
      readonly turn: number;
      readonly code: string;
      readonly retry: RetryAdvice;
      readonly afterMs: number;
      readonly reason: string;
    }
  | { readonly on: 'caughtUp'; readonly turn: number }
  | { readonly on: 'heartbeat'; readonly turn: number }
  | { readonly on: 'leaving'; readonly turn: number; readonly url: string; readonly afterMs: number }
  /** A request had no answer in time, or a message could not be read. */
  | { readonly on: 'stuck'; readonly turn: number; readonly reason: string }
  | { readonly on: 'renewed'; readonly turn: number; readonly tokenEndsMs: number }
  | { readonly on: 'renewFailed'; readonly turn: number; readonly retry: RetryAdvice }
  /** The network came back, or a person is impatient: end the pause. */
  | { readonly on: 'hurry' }
  | { readonly on: 'tick' }
  | { readonly on: 'stop' };

export type Effect =
  | { readonly do: 'locate'; readonly turn: number; readonly lookUp: boolean; readonly refresh: boolean }
  | { readonly do: 'open'; readonly turn: number; readonly url: string }
  | { readonly do: 'hello'; readonly turn: number }
  /** Requests may be sent from here … */
  | { readonly do: 'attach'; readonly turn: number }
  /** … to here; what is unanswered stays unanswered. */
  | { readonly do: 'detach'; readonly turn: number }
  | { readonly do: 'renew'; readonly turn: number }
  /** Drop the look-up or socket of this turn. */
  | { readonly do: 'abandon'; readonly turn: number };

export interface Moment {
  readonly nowMs: number;
  /** 0 ≤ draw < 1, for the jitter. */
  readonly draw: number;
}

export type Step = readonly [Connection, readonly Effect[]];

export const idleConnection: Connection = {
  name: 'idle',
  sinceMs: 0,
  deadlineMs: Number.POSITIVE_INFINITY,
  turn: 0,
  urls: [],
  tokenEndsMs: 0,
  failures: 0,
  redirects: 0,
  lookUp: false,
  refresh: false,
  heardMs: 0,
  silenceMs: 0,
  renewAtMs: 0,
  reason: '',
  stop: undefined,
};

/** The next state and what is to be done. Events that mean nothing in this state, or are of an older turn, change nothing. */
export function step(c: Connection, event: ConnectionEvent, at: Moment): Step {
  if ('turn' in event && event.turn !== c.turn) return [c, []];
  if (event.on === 'stop') return c.name === 'stopped' ? [c, []] : stopped(c, 'closed', '', at);
  if (c.name === 'stopped') return [c, []];
  if (c.name === 'idle') return event.on === 'start' ? begin({ ...c, urls: event.urls, tokenEndsMs: event.tokenEndsMs }, at) : [c, []];
  if (event.on === 'tick') return at.nowMs < c.deadlineMs ? [c, []] : overdue(c, at);
  switch (c.name) {
    case 'locating':
      return whileLocating(c, event, at);
    case 'connecting':
    case 'greeting':
      return whileConnecting(c, event, at);
    case 'resuming':
    case 'live':
      return whileAttached(c, event, at);
    case 'waiting':
      return event.on === 'hurry' ? begin(c, at) : [c, []];
  }
}

function whileLocating(c: Connection, event: ConnectionEvent, at: Moment): Step {
  if (event.on === 'located') {
    const known = { ...c, urls: event.urls, tokenEndsMs: event.tokenEndsMs, lookUp: false, refresh: false, redirects: 0 };
    return event.urls.length === 0
      ? failed(known, { reason: 'no address of the home cell is known', lookUp: true }, at)
      : connect(known, at);
  }
  if (event.on === 'locateFailed') {
    if (event.retry === 'never') return stopped(c, 'login', event.reason, at);
    return failed(c, { reason: event.reason, afterMs: event.afterMs, lookUp: true }, at);
  }
  return [c, []];
}

function whileConnecting(c: Connection, event: ConnectionEvent, at: Moment): Step {
  switch (event.on) {
    case 'opened':
      if (c.name !== 'connecting') return [c, []];
      return [enter(c, 'greeting', at, limits.greetMsMax), [{ do: 'hello', turn: c.turn }]];
    case 'welcomed':
      return c.name === 'greeting' ? welcomed(c, event, at) : [c, []];
    case 'redirected':
      return redirected(c, event, at);
    case 'helloRefused':
      return helloRefused(c, event, at);
    case 'leaving':
      return failed(toFront(c, event.url), { reason: 'the node is leaving', afterMs: event.afterMs }, at);
    case 'closed':
      return closed(c, event.code, at);
    case 'stuck':
      return failed(nextUrl(c), { reason: event.reason }, at);
    default:
      return [c, []];
  }
}

function whileAttached(c: Connection, event: ConnectionEvent, at: Moment): Step {
  switch (event.on) {
    case 'heartbeat': {
      const heard = { ...c, heardMs: at.nowMs };
      return [c.name === 'live' ? { ...heard, deadlineMs: liveDeadline(heard) } : heard, []];
    }
    case 'caughtUp':
      return c.name === 'resuming' ? [live(c, at), []] : [c, []];
    case 'renewed':
      return [renewAt(c, { tokenEndsMs: event.tokenEndsMs }, at), []];
    case 'renewFailed':
      return event.retry === 'never' ? stopped(c, 'login', 'the session was ended', at) : [c, []];
    case 'redirected':
      return redirected(c, event, at);
    case 'leaving':
      return failed(toFront(c, event.url), { reason: 'the node is leaving', afterMs: event.afterMs }, at);
    case 'closed':
      return closed(c, event.code, at);
    case 'stuck':
      return failed(nextUrl(c), { reason: event.reason }, at);
    default:
      return [c, []];
  }
}

function overdue(c: Connection, at: Moment): Step {
  switch (c.name) {
    case 'waiting':
      return begin(c, at);
    case 'resuming':
      return [live(c, at), []];
    case 'live':
      if (at.nowMs >= c.heardMs + c.silenceMs) return failed(nextUrl(c), { reason: 'no heartbeat' }, at);
      return [renewAt(c, { againMs: limits.renewAgainMs }, at), [{ do: 'renew', turn: c.turn }]];
    case 'locating':
      return failed(c, { reason: 'the home cell does not answer', lookUp: true }, at);
    default:
      return failed(nextUrl(c), { reason: c.name === 'connecting' ? 'no connection in time' : 'no welcome in time' }, at);
  }
}

/** From a rest: to the node at once when token and address are known, else by way of locating. */
function begin(c: Connection, at: Moment): Step {
  const stale = c.tokenEndsMs - at.nowMs < limits.tokenFreshMs;
  if (!c.lookUp && !c.refresh && !stale && c.urls.length > 0) return connect(c, at);
  const turn = c.turn + 1;
  const effect: Effect = { do: 'locate', turn, lookUp: c.lookUp || c.urls.length === 0, refresh: c.refresh };
  return [{ ...enter(c, 'locating', at, limits.locateMsMax), turn }, [...abandon(c), effect]];
}

function connect(c: Connection, at: Moment): Step {
  const turn = c.turn + 1;
  const url = c.urls[0] ?? '';
  return [{ ...enter(c, 'connecting', at, limits.connectMsMax), turn }, [...abandon(c), { do: 'open', turn, url }]];
}

function welcomed(c: Connection, event: { readonly heartbeatMs: number; readonly tokenEndsMs: number }, at: Moment): Step {
  const silenceMs = Math.min(limits.silenceMsMax, Math.max(limits.silenceMsMin, event.heartbeatMs * limits.silenceHeartbeats));
  const entered = enter({ ...c, silenceMs, heardMs: at.nowMs, redirects: 0 }, 'resuming', at, limits.resumeMsMax);
  const next = { ...renewAt(entered, event, at), deadlineMs: entered.deadlineMs };
  return [next, [{ do: 'attach', turn: c.turn }]];
}

function live(c: Connection, at: Moment): Connection {
  return { ...enter(c, 'live', at, 0), deadlineMs: liveDeadline(c) };
}

const liveDeadline = (c: Connection): number => Math.min(c.heardMs + c.silenceMs, c.renewAtMs);

/** Plans the next renewal, never at once: clocks that disagree must not make a loop of it. */
function renewAt(c: Connection, by: { readonly tokenEndsMs?: number; readonly againMs?: number }, at: Moment): Connection {
  const tokenEndsMs = by.tokenEndsMs ?? c.tokenEndsMs;
  const ahead = tokenEndsMs - limits.renewAheadMs;
  const planned = { ...c, tokenEndsMs, renewAtMs: Math.max(ahead, at.nowMs + (by.againMs ?? limits.renewAgainMs)) };
  return c.name === 'live' ? { ...planned, deadlineMs: liveDeadline(planned) } : planned;
}

function redirected(c: Connection, event: { readonly url: string; readonly afterMs: number }, at: Moment): Step {
  const reason = 'sent to another node';
  if (event.url === '' || c.redirects >= limits.redirectsMax) {
    return failed({ ...c, redirects: 0 }, { reason, afterMs: event.afterMs, lookUp: true }, at);
  }
  const followed = { ...toFront(c, event.url), redirects: c.redirects + 1 };
  return event.afterMs === 0 ? drop(followed, (d) => connect(d, at)) : failed(followed, { reason, afterMs: event.afterMs }, at);
}

function helloRefused(
  c: Connection,
  event: { readonly code: string; readonly retry: RetryAdvice; readonly afterMs: number; readonly reason: string },
  at: Moment,
): Step {
  const { code, reason, afterMs } = event;
  if (code === 'token_expired' || code === 'token_invalid') return failed(c, { reason, refresh: true }, at);
  if (code === 'session_ended') return stopped(c, 'login', reason, at);
  if (event.retry === 'elsewhere') return failed(nextUrl(c), { reason, afterMs, lookUp: true }, at);
  return event.retry === 'never' ? stopped(c, 'protocol', reason, at) : failed(nextUrl(c), { reason, afterMs }, at);
}

function closed(c: Connection, code: number, at: Moment): Step {
  switch (afterClose(code)) {
    case 'stop':
      return stopped(c, 'protocol', `the node closed with ${code}`, at);
    case 'login':
      return stopped(c, 'login', 'the session was ended', at);
    case 'stay':
      // 1000 is what a node says that was asked to close; nobody asked, so it is as good as a cut.
      if (code === closeCodes.replaced.code) return stopped(c, 'replaced', 'this device connected elsewhere', at);
      return failed(nextUrl(c), { reason: 'the node closed the connection' }, at);
    case 'refresh':
      return failed(c, { reason: 'the token ended', refresh: true }, at);
    case 'redirect':
      return failed(c, { reason: 'homed elsewhere', lookUp: true }, at);
    case 'reconnect':
      return failed(nextUrl(c), { reason: cutReason(c, code) }, at);
  }
}

/** Browsers and Node tell no more of a socket that was refused, or that nobody answered, than of one that was cut. */
function cutReason(c: Connection, code: number): string {
  if (code !== 1006) return `the node closed with ${code}`;
  return c.name === 'connecting' ? 'the node takes no connection' : 'the connection was cut';
}

export function afterClose(code: number): AfterClose {
  for (const entry of Object.values(closeCodes)) if (entry.code === code) return entry.then;
  return 'reconnect';
}

interface Failure {
  readonly reason: string;
  readonly afterMs?: number;
  readonly lookUp?: boolean;
  readonly refresh?: boolean;
}

/** Into waiting, with full jitter; at least as long as the server asked. */
function failed(c: Connection, why: Failure, at: Moment): Step {
  const held = c.name === 'live' && at.nowMs - c.sinceMs >= limits.steadyMs;
  const failures = held ? 0 : c.failures + 1;
  const pause = at.draw * Math.min(limits.backoffMsMax, limits.backoffBaseMs * 2 ** Math.min(failures, 30));
  const asked = Math.min(why.afterMs ?? 0, limits.askedPauseMsMax);
  // Every address failed once more: the home may have moved.
  const lookUp = c.lookUp || why.lookUp === true || (failures > 0 && failures % Math.max(1, c.urls.length) === 0);
  const next = { ...c, failures, lookUp, refresh: c.refresh || why.refresh === true };
  const waitMs = Math.min(limits.stateMsMax, asked === 0 ? pause : asked + pause / 2);
  return drop(next, (d) => [{ ...enter(d, 'waiting', at, waitMs), reason: why.reason }, []]);
}

function stopped(c: Connection, stop: StopReason, reason: string, at: Moment): Step {
  return drop(c, (d) => [{ ...enter(d, 'stopped', at, Number.POSITIVE_INFINITY), stop, reason }, []]);
}

/** Ends the turn under way, then goes on. The turn number rises, so its late events are ignored. */
function drop(c: Connection, then: (dropped: Connection) => Step): Step {
  const attached: readonly Effect[] = c.name === 'resuming' || c.name === 'live' ? [{ do: 'detach', turn: c.turn }] : [];
  const [next, effects] = then({ ...c, name: 'idle', turn: c.turn + 1 });
  return [next, [...attached, ...abandon(c), ...effects]];
}

const abandon = (c: Connection): readonly Effect[] =>
  c.name === 'idle' || c.name === 'waiting' || c.name === 'stopped' ? [] : [{ do: 'abandon', turn: c.turn }];

function enter(c: Connection, name: StateName, at: Moment, forMs: number): Connection {
  return { ...c, name, sinceMs: at.nowMs, deadlineMs: at.nowMs + forMs, reason: '' };
}

const nextUrl = (c: Connection): Connection => ({ ...c, urls: [...c.urls.slice(1), ...c.urls.slice(0, 1)] });
const toFront = (c: Connection, url: string): Connection =>
  url === '' ? nextUrl(c) : { ...c, urls: [url, ...c.urls.filter((known) => known !== url)].slice(0, limits.urlsMax) };
