// Named points in the code where a test makes a node fail, and guards that a test switches off. Armed only through the
// environment, refused in production, and nothing but a look at an empty map otherwise.

export type FailpointName =
  /** The transaction is committed, nobody has been told. */
  | 'after-commit-before-tell'
  /** The broker has the frame, the destination has not acknowledged it. */
  | 'after-publish-before-acknowledgement'
  /** A push to sockets is left out. */
  | 'drop-push'
  /** What is told to the other nodes of the cell is kept back until the next has overtaken it. */
  | 'hold-node-push'
  /** A frame of entries or intake is acknowledged to the broker and forgotten, as by a node that dies in between. */
  | 'swallow-frame'
  | 'signup-after-intention'
  | 'signup-after-reserve'
  | 'signup-before-activate';

/** Guards, off for the whole life of the process: "no-dedupe" and so on. What is done instead is in guards-off.ts. */
export type GuardName =
  | 'dedupe'
  | 'commit-before-answer'
  | 'contiguous-apply'
  | 'pull'
  /** Frames without an acknowledgement go out again. */
  | 'resend'
  | 'attempt-number'
  | 'intake-number'
  | 'author-home'
  | 'permission'
  | 'limit'
  /** A socket gets a log's entries in seq order only. */
  | 'push-order'
  /** The heads that each beat of a link carries. */
  | 'beat-heads';

const names: ReadonlySet<string> = new Set<FailpointName>([
  'after-commit-before-tell',
  'after-publish-before-acknowledgement',
  'drop-push',
  'hold-node-push',
  'swallow-frame',
  'signup-after-intention',
  'signup-after-reserve',
  'signup-before-activate',
]);

const guards: ReadonlySet<string> = new Set<GuardName>([
  'dedupe',
  'commit-before-answer',
  'contiguous-apply',
  'pull',
  'resend',
  'attempt-number',
  'intake-number',
  'author-home',
  'permission',
  'limit',
  'push-order',
  'beat-heads',
]);
const offPrefix = 'no-';

/** These only say that they act; every other point ends the process. */
const harmless: ReadonlySet<FailpointName> = new Set<FailpointName>(['drop-push', 'hold-node-push', 'swallow-frame']);

/** How the process ends at a point: as by kill -9, so that nothing is flushed. */
export type Die = (name: FailpointName) => void;

export class Failpoints {
  /** How many times the point is passed before it acts; it acts once. */
  readonly #armed = new Map<string, number>();
  readonly #off = new Set<string>();
  readonly #die: Die;
  /** Whether anything was named at all. */
  readonly any: boolean;

  /**
   * `text`: WEFT_FAILPOINTS, such as "drop-push", "after-commit-before-tell:100" (at the hundredth pass) or "no-dedupe". Throws
   * on an unknown name.
   */
  constructor(text: readonly string[], die: Die) {
    this.#die = die;
    this.any = text.length > 0;
    for (const each of text) {
      const guard = each.startsWith(offPrefix) ? each.slice(offPrefix.length) : '';
      if (guards.has(guard)) this.#off.add(guard);
      else this.#arm(each);
    }
  }

  /** True when an armed point acts. */
  reach(name: FailpointName): boolean {
    if (this.#armed.size === 0) return false;
    const left = this.#armed.get(name);
    if (left === undefined) return false;
    if (left > 1) {
      this.#armed.set(name, left - 1);
      return false;
    }
    this.#armed.delete(name);
    if (!harmless.has(name)) this.#die(name);
    return true;
  }

  isOff(guard: GuardName): boolean {
    return this.#off.has(guard);
  }

  #arm(text: string): void {
    const [name = '', at = '1'] = text.split(':');
    const all = [...names, ...[...guards].map((guard) => offPrefix + guard)];
    if (!names.has(name) || !/^[1-9]\d{0,8}$/.test(at))
      throw new Error(`WEFT_FAILPOINTS: no failpoint ${text}; there are ${all.join(', ')}`);
    this.#armed.set(name, Number(at));
  }
}
