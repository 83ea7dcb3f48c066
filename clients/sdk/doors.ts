// The REST doors of router and cells, as far as a client needs them.

import { WeftError } from '@weft/proto/faults.ts';

import { problemFrom, toFault } from './faults.ts';
import { clientLimits as limits } from './limits.ts';
import type { Clock, Http, HttpRequest } from './ports.ts';
import type { Session } from './session-store.ts';

export interface Home {
  readonly user: string;
  readonly handle: string;
  readonly cell: string;
  readonly urls: readonly string[];
}

export interface Credentials {
  readonly handle: string;
  readonly password: string;
  readonly device: string;
}

type Ask = Omit<HttpRequest, 'signal' | 'url'> & { readonly path: string };

export class CellDoor {
  readonly #http: Http;
  readonly #clock: Clock;
  readonly #router: string;

  constructor(options: { http: Http; clock: Clock; router: string }) {
    this.#http = options.http;
    this.#clock = options.clock;
    this.#router = withoutSlash(options.router);
  }

  /** Placement by the router, then the account in the cell it named. Throws WeftError; `handle_taken`, `password_invalid` … */
  async signUp(who: Credentials & { readonly region?: string }, signal: AbortSignal): Promise<Session> {
    const wish = { handle: who.handle, ...(who.region !== undefined && { region: who.region }) };
    const placed = await this.#one(this.#router, { method: 'POST', path: '/v1/placement', body: wish }, signal);
    const urls = listOf(placed, 'urls');
    let unanswered = false;
    try {
      const body = { handle: who.handle, password: who.password, device: who.device };
      const answer = await this.#any(
        urls,
        { method: 'POST', path: '/v1/accounts', body },
        { signal, onSilence: () => (unanswered = true) },
      );
      return this.#session(answer, who.device);
    } catch (error) {
      // The answer to a first try was lost: the account may be ours.
      if (unanswered && error instanceof WeftError && error.code === 'handle_taken') return this.#logInAt(urls, who, signal);
      throw error;
    }
  }

  /** Throws WeftError: `unknown_user`, `login_failed`, or `later` when nobody answers. */
  async logIn(who: Credentials, signal: AbortSignal): Promise<Session> {
    const path = `/v1/users/by-handle/${encodeURIComponent(who.handle)}`;
    const home = homeFrom(await this.#one(this.#router, { method: 'GET', path }, signal));
    return this.#logInAt(home.urls, who, signal);
  }

  async #logInAt(urls: readonly string[], who: Credentials, signal: AbortSignal): Promise<Session> {
    const body = { handle: who.handle, password: who.password, device: who.device };
    const answer = await this.#any(urls, { method: 'POST', path: '/v1/sessions', body }, { signal });
    return this.#session(answer, who.device);
  }

  /** A new pair of tokens. Throws WeftError, `never` when the session is over. */
  async refresh(session: Session, signal: AbortSignal): Promise<Session> {
    const ask: Ask = { method: 'POST', path: '/v1/sessions/refresh', body: { refresh_token: session.refreshToken } };
    return this.#session(await this.#any(session.urls, ask, { signal }), session.device);
  }

  async logOut(session: Session, signal: AbortSignal): Promise<void> {
    await this.#any(session.urls, { method: 'DELETE', path: '/v1/sessions/current', token: session.accessToken }, { signal });
  }

  /** Who has this handle: the home cell is asked, and the router where it does not answer. */
  async byHandle(handle: string, session: Session, signal: AbortSignal): Promise<Home> {
    const ask: Ask = { method: 'GET', path: `/v1/users/by-handle/${encodeURIComponent(handle)}`, token: session.accessToken };
    return homeFrom(await this.#any([...session.urls, this.#router], ask, { signal }));
  }

  /** The keys of all cells, as the home cell publishes them (RFC 7517). */
  async keys(session: Session, signal: AbortSignal): Promise<unknown> {
    return this.#any(session.urls, { method: 'GET', path: '/.well-known/jwks.json' }, { signal });
  }

  /** Where this user (decimal id) is homed, by the router. */
  async homeOf(user: string, signal: AbortSignal): Promise<Home> {
    return homeFrom(await this.#one(this.#router, { method: 'GET', path: `/v1/users/${user}` }, signal));
  }

  #session(body: unknown, device: string): Session {
    return {
      user: textOf(body, 'user'),
      handle: textOf(body, 'handle'),
      cell: textOf(body, 'cell'),
      session: textOf(body, 'session'),
      selfLog: textOf(body, 'self_log'),
      device,
      accessToken: textOf(body, 'access_token'),
      accessEnds: Number(field(body, 'access_ends')),
      refreshToken: textOf(body, 'refresh_token'),
      urls: listOf(body, 'urls'),
      router: this.#router,
    };
  }

  /** The addresses in turn until one answers with more than `later`; one redirect is followed. */
  async #any(urls: readonly string[], ask: Ask, how: { signal: AbortSignal; onSilence?: () => void }): Promise<unknown> {
    let last: unknown = new WeftError('not_ready', 'no address of the cell is known');
    const left = urls.slice(0, limits.urlsMax);
    let redirects = 0;
    for (let url = left.shift(); url !== undefined; url = left.shift()) {
      try {
        return await this.#one(url, ask, how.signal);
      } catch (error) {
        if (how.signal.aborted) throw error;
        last = error;
        if (error instanceof Silence) how.onSilence?.();
        else if (error instanceof Elsewhere && redirects < limits.redirectsMax) {
          redirects += 1;
          left.unshift(error.url);
        } else if (error instanceof WeftError && error.retry === 'never') throw error;
      }
    }
    throw last;
  }

  async #one(base: string, ask: Ask, signal: AbortSignal): Promise<unknown> {
    const { path, ...rest } = ask;
    const late = new AbortController();
    const cancel = this.#clock.timer(limits.restMsMax, () => late.abort());
    const url = `${withoutSlash(base)}${path}`;
    const answer = await this.#http({ ...rest, url, signal: AbortSignal.any([signal, late.signal]) })
      .catch(() => {
        throw new Silence(base);
      })
      .finally(cancel);
    if (answer.status < 300) return answer.body;
    const problem = problemFrom(answer.status, answer.body);
    if (problem.code === 'wrong_home' && problem.url !== undefined) throw new Elsewhere(problem.url);
    throw toFault({ ...problem, text: problem.detail });
  }
}

/** Nothing came back: whether the request was carried out is unknown. */
class Silence extends WeftError {
  constructor(url: string) {
    super('not_ready', `${url} does not answer`);
  }
}

class Elsewhere extends WeftError {
  readonly url: string;

  constructor(url: string) {
    super('wrong_home');
    this.url = url;
  }
}

const withoutSlash = (url: string): string => url.replace(/\/+$/, '');

/** The socket's address for a node's base address; an address that is one already stays. */
export function socketUrl(url: string): string {
  const ws = withoutSlash(url).replace(/^http/, 'ws');
  return ws.endsWith('/v1/socket') ? ws : `${ws}/v1/socket`;
}

function field(body: unknown, key: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[key] : undefined;
}

function textOf(body: unknown, key: string): string {
  const value = field(body, key);
  if (typeof value !== 'string' && typeof value !== 'number') throw new WeftError('internal', `the answer has no ${key}`);
  return String(value);
}

function listOf(body: unknown, key: string): string[] {
  const value = field(body, key);
  if (!Array.isArray(value)) throw new WeftError('internal', `the answer has no ${key}`);
  return value.map(String);
}

const homeFrom = (body: unknown): Home => ({
  user: textOf(body, 'user'),
  handle: textOf(body, 'handle'),
  cell: textOf(body, 'cell'),
  urls: Array.isArray(field(body, 'urls')) ? listOf(body, 'urls') : [],
});
