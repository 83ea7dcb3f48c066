// What a crowd asks of the store shares round trips: a statement costs about as much for twenty as for two. Who asks alone is
// answered at the end of the turn of the event loop; who asks while others are being answered waits a short pause for company.
import type { Clock } from '@weft/runtime/clock.ts';
import { isRetryable } from '@weft/runtime/sql.ts';

/** What is waited for before a round trip. */
export interface Gathering {
  /** Resolves once all who came in this turn of the event loop have asked. */
  readonly turn: () => Promise<void>;
  /** Resolves after the pause that is made while others are being answered. */
  readonly pause: () => Promise<void>;
}

export const gatheringBy = (clock: Pick<Clock, 'timer'>, pauseMs: number): Gathering => ({
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  pause: () => new Promise((resolve) => void clock.timer(pauseMs, resolve)),
});

/**
 * Over a clock alone, for what may wait: who comes within `pauseMs` of the last round trip's beginning waits as long for company,
 * so that there is about one round trip in that time. Who comes after a rest does not wait.
 */
export function gatheringSlowly(clock: Pick<Clock, 'timer' | 'monotonic'>, pauseMs: number): Gathering {
  let lastMs = Number.NEGATIVE_INFINITY;
  const begin = (): void => {
    lastMs = clock.monotonic();
  };
  const pause = (): Promise<void> => new Promise<void>((resolve) => void clock.timer(pauseMs, resolve)).then(begin);
  return { turn: async () => (clock.monotonic() - lastMs < pauseMs ? await pause() : begin()), pause };
}

export interface AskTogetherOptions<Ask, Answer> extends Gathering {
  /** The answers, in the order of what was asked. */
  readonly answer: (asks: readonly Ask[]) => Promise<readonly Answer[]>;
  /** Of one round trip. */
  readonly asksMax: number;
  /** Round trips under way at once; what is asked meanwhile waits. */
  readonly underWayMax: number;
}

interface Waiting<Ask, Answer> {
  readonly ask: Ask;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export class AskTogether<Ask, Answer> {
  readonly #options: AskTogetherOptions<Ask, Answer>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #waiting: Waiting<Ask, Answer>[] = [];
  #isSending = false;

  constructor(options: AskTogetherOptions<Ask, Answer>) {
    this.#options = options;
  }

  ask(ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ask, resolve, reject });
      if (!this.#isSending) void this.#sendWaiting();
    });
  }

  async #sendWaiting(): Promise<void> {
    const { asksMax, underWayMax, turn, pause } = this.#options;
    this.#isSending = true;
    await (this.#underWay.size === 0 ? turn() : pause());
    while (this.#waiting.length > 0) {
      while (this.#underWay.size >= underWayMax) await Promise.race(this.#underWay);
      const sent = this.#send(this.#waiting.splice(0, asksMax));
      this.#underWay.add(sent);
      void sent.then(() => this.#underWay.delete(sent));
    }
    this.#isSending = false;
  }

  /** Never rejects. */
  async #send(asked: readonly Waiting<Ask, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.answer(asked.map(({ ask }) => ask));
      asked.forEach(({ resolve }, at) => {
        resolve(answers[at] as Answer);
      });
    } catch (error) {
      // One of them cannot be answered: it fails alone. A store that is away is not asked again for each.
      if (asked.length > 1 && !isRetryable(error)) await Promise.all(asked.map((each) => this.#send([each])));
      else for (const { reject } of asked) reject(error);
    }
  }
}
