// Reads of a crowd share round trips: a statement costs about as much for twenty as for two. Who asks alone is read at the end
// of the turn of the event loop; who asks while others are being read waits a short pause for company.
import type { Clock } from '@weft/runtime/clock.ts';
import { isRetryable } from '@weft/runtime/sql.ts';

/** What is waited for before a round trip. */
export interface Gathering {
  /** Resolves once all who came in this turn of the event loop have asked. */
  readonly turn: () => Promise<void>;
  /** Resolves after the pause that is made while others are being read. */
  readonly pause: () => Promise<void>;
}

export const gatheringBy = (clock: Pick<Clock, 'timer'>, pauseMs: number): Gathering => ({
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  pause: () => new Promise((resolve) => void clock.timer(pauseMs, resolve)),
});

export interface ReadTogetherOptions<Ask, Answer> extends Gathering {
  /** The answers, in the order of what was asked. */
  readonly read: (asks: readonly Ask[]) => Promise<readonly Answer[]>;
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

export class ReadTogether<Ask, Answer> {
  readonly #options: ReadTogetherOptions<Ask, Answer>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #waiting: Waiting<Ask, Answer>[] = [];
  #isSending = false;

  constructor(options: ReadTogetherOptions<Ask, Answer>) {
    this.#options = options;
  }

  read(ask: Ask): Promise<Answer> {
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
      const answers = await this.#options.read(asked.map(({ ask }) => ask));
      asked.forEach(({ resolve }, at) => {
        resolve(answers[at] as Answer);
      });
    } catch (error) {
      // One of them cannot be read: it fails alone. A store that is away is not asked again for each.
      if (asked.length > 1 && !isRetryable(error)) await Promise.all(asked.map((each) => this.#send([each])));
      else for (const { reject } of asked) reject(error);
    }
  }
}
