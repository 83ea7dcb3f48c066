// States of logs as last read or committed by this node. Used only when its version equals the locked row's (R7).
import { LruMap } from 'toad-cache';
import type { LogState } from '../delivery/log-state.ts';

export class StateCache {
  readonly #states: LruMap<LogState>;

  constructor(max: number) {
    this.#states = new LruMap(max);
  }

  get(log: bigint): LogState | undefined {
    return this.#states.get(log);
  }

  set(state: LogState): void {
    this.#states.set(state.log, state);
  }

  delete(log: bigint): void {
    this.#states.delete(log);
  }
}
