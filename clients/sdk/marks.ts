// The user's own marks on their way to the cell: only the furthest of each log and kind, at most one a second.

import type { MarkKind } from '@weft/proto/gen/weft/client/v1/client.ts';
import { comparePositions, type Position } from '@weft/proto/positions.ts';

import { clientLimits as limits } from './limits.ts';
import { asFault } from './line.ts';
import type { Clock } from './ports.ts';
import type { Requests } from './requests.ts';

interface Mark extends Position {
  readonly log: bigint;
  readonly kind: MarkKind;
}

export class Marks {
  readonly #requests: Requests;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Mark>();
  #attached = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: { requests: Requests; clock: Clock }) {
    this.#requests = options.requests;
    this.#clock = options.clock;
  }

  /** A mark only moves forward; the cell merges by maximum too. */
  set(mark: Mark): void {
    const key = `${mark.log}${mark.kind}`;
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined && comparePositions(waiting, mark) >= 0) return;
    this.#waiting.set(key, mark);
    this.#arm();
  }

  attached(): void {
    this.#attached = true;
    this.#arm();
  }

  detached(): void {
    this.#attached = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #arm(): void {
    if (!this.#attached || this.#waiting.size === 0 || this.#cancelTimer !== undefined) return;
    this.#cancelTimer = this.#clock.timer(limits.markMs, () => {
      this.#cancelTimer = undefined;
      const marks = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const mark of marks) this.#send(mark);
    });
  }

  #send(mark: Mark): void {
    const value = { log: mark.log, kind: mark.kind, epoch: mark.epoch, seq: BigInt(mark.seq) };
    this.#requests.ask({ $case: 'setMark', value }, 'done', { once: true }).catch((error: unknown) => {
      if (asFault(error).retry !== 'never') this.set(mark);
    });
  }
}
