import { WeftError } from '@weft/proto/faults.ts';

import type { CellDoor } from './doors.ts';
import { clientLimits as limits } from './limits.ts';
import type { Clock } from './ports.ts';
import type { Session, SessionStore } from './session-store.ts';

export function memorySession(): SessionStore {
  let kept: Session | undefined;
  return {
    load: () => Promise.resolve(kept),
    save: (session) => {
      kept = session;
      return Promise.resolve();
    },
    clear: () => {
      kept = undefined;
      return Promise.resolve();
    },
  };
}

/** Where the home is and what proves who asks: everything `locating` brings. */
export interface Location {
  readonly urls: readonly string[];
  readonly accessEnds: number;
}

/** Owns the session: refreshes it one at a time, and stores each new refresh token before it is used. */
export class SessionKeeper {
  #session: Session;
  readonly #store: SessionStore;
  readonly #doors: CellDoor;
  readonly #clock: Clock;
  #refreshing: Promise<void> | undefined;

  constructor(options: { session: Session; store: SessionStore; doors: CellDoor; clock: Clock }) {
    this.#session = options.session;
    this.#store = options.store;
    this.#doors = options.doors;
    this.#clock = options.clock;
  }

  get session(): Session {
    return this.#session;
  }

  /** Throws WeftError: `never` when only a new log-in helps, else `later`. */
  async locate(want: { lookUp: boolean; refresh: boolean }, signal: AbortSignal): Promise<Location> {
    if (want.lookUp) await this.#lookUp(signal);
    const stale = this.#session.accessEnds - this.#clock.now() < limits.tokenFreshMs;
    if (want.refresh || stale) await this.refresh(signal);
    return { urls: this.#session.urls, accessEnds: this.#session.accessEnds };
  }

  /** A new access token; callers at the same time share one. */
  refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#refresh(signal).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const fresh = await this.#doors.refresh(this.#session, signal);
    this.#session = fresh;
    await this.#store.save(fresh);
  }

  async #lookUp(signal: AbortSignal): Promise<void> {
    try {
      const home = await this.#doors.homeOf(this.#session.user, signal);
      if (home.urls.length > 0) this.#session = { ...this.#session, cell: home.cell, urls: home.urls };
    } catch (error) {
      // A router that is away, or knows less than the session, must not keep anybody from the cell they know.
      if (!(error instanceof WeftError)) throw error;
    }
  }

  /** Ends the session here; the cell is told by the caller. */
  forget(): Promise<void> {
    return this.#store.clear();
  }
}
