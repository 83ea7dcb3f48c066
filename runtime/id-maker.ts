// Makes ids (layout: proto/ids.ts) that never repeat: not after the clock stepped, not in a burst, not after a restart.
//
// - Time never goes back: an id's time is max(clock, time of the last id). A full millisecond borrows from the next.
// - So the ids' time may run ahead of the clock, by at most idAheadMsMax: a larger step back or burst stops it with `not_ready`.
// - The node number is leased. An id's time stays below the end of that lease, and the next holder starts at that end (`notBeforeMs`),
//   so two holders of one number never share a millisecond, whatever their clocks say.
import assert from 'node:assert/strict';
import { WeftError } from '@weft/proto/faults.ts';
import { cellNumberMax, idCounterMax, idEpochMs, makeId, nodeNumberMax } from '@weft/proto/ids.ts';
import type { Clock } from './clock.ts';
import { runtimeLimits as limits } from './limits.ts';

export interface IdMakerOptions {
  readonly clock: Clock;
  /** Number of the birth cell, 1..4095. */
  readonly cell: number;
  /** Leased node number, 0..31. */
  readonly node: number;
  /** End of the lease of the node number, Unix milliseconds: asked at each id, since the lease is renewed. */
  readonly leaseEndsMs: () => number;
  /** Ids begin here: the end of the lease of the number's holder before. Unix milliseconds. */
  readonly notBeforeMs?: number;
}

export class IdMaker {
  readonly #clock: Clock;
  readonly #cell: number;
  readonly #node: number;
  readonly #leaseEndsMs: () => number;
  #timeMs: number;
  #counter = idCounterMax;

  constructor(options: IdMakerOptions) {
    assert(Number.isInteger(options.cell) && options.cell >= 1 && options.cell <= cellNumberMax, `cell number ${options.cell}`);
    assert(Number.isInteger(options.node) && options.node >= 0 && options.node <= nodeNumberMax, `node number ${options.node}`);
    this.#clock = options.clock;
    this.#cell = options.cell;
    this.#node = options.node;
    this.#leaseEndsMs = options.leaseEndsMs;
    this.#timeMs = Math.max(options.notBeforeMs ?? 0, idEpochMs) - 1;
  }

  /** The next id, above all before it. Throws `not_ready` while the lease has ended or the clock is too far behind the last id. */
  next(): bigint {
    const now = this.#clock.now();
    let timeMs = this.#timeMs;
    let counter = this.#counter + 1;
    if (now > timeMs) {
      timeMs = now;
      counter = 0;
    } else if (counter > idCounterMax) {
      timeMs += 1;
      counter = 0;
    }
    const aheadMs = timeMs - now;
    if (aheadMs > limits.idAheadMsMax) {
      throw new WeftError('not_ready', 'the clock is behind the ids', aheadMs - limits.idAheadMsMax);
    }
    if (timeMs >= this.#leaseEndsMs()) throw new WeftError('not_ready', 'the lease of the node number has ended');
    this.#timeMs = timeMs;
    this.#counter = counter;
    return makeId(timeMs, this.#cell, this.#node, counter);
  }
}
