// States of logs as last read or committed by this node. Used only when its version equals the locked row's (R7).
import type { LogState } from '../delivery/log-state.ts';

export class StateCache {
  readonly #max: number;
  /** In order of last use, oldest first. */
  readonly #states = new Map<bigint, LogState>();

  constructor(max: number) {
    this.#max = max;
  }

  get(log: bigint): LogState | undefined {
    const state = this.#states.get(log);
    if (state && this.#states.size * 2 > this.#max) {
      this.#states.delete(log);
      this.#states.set(log, state);
    }
    return state;
  }

  set(state: LogState): void {
    this.#states.delete(state.log);
    this.#states.set(state.log, state);
    if (this.#states.size > this.#max) this.#states.delete(this.#states.keys().next().value as bigint);
  }

  delete(log: bigint): void {
    this.#states.delete(log);
  }
}
