// Named points in the code where a test makes a node fail. Armed only through the environment, refused in production,
// and nothing but a look at an empty map otherwise.

export type FailpointName =
  /** The transaction is committed, nobody has been told. */
  | 'after-commit-before-tell'
  /** The broker has the frame, the destination has not acknowledged it. */
  | 'after-publish-before-acknowledgement'
  /** A push to sockets is left out. */
  | 'drop-push'
  /** For as long as the node runs: frames are sent once and never again; nothing is pulled. */
  | 'no-resend'
  | 'no-pull'
  | 'signup-after-intention'
  | 'signup-after-reserve'
  | 'signup-before-activate';

const names: ReadonlySet<string> = new Set<FailpointName>([
  'after-commit-before-tell',
  'after-publish-before-acknowledgement',
  'drop-push',
  'no-resend',
  'no-pull',
  'signup-after-intention',
  'signup-after-reserve',
  'signup-before-activate',
]);

/** How the process ends at a point: as by kill -9, so that nothing is flushed. */
export type Die = (name: FailpointName) => void;

export class Failpoints {
  /** How many times the point is passed before it acts; it acts once. */
  readonly #armed = new Map<string, number>();
  readonly #die: Die;

  /** `text`: WEFT_FAILPOINTS, such as "drop-push" or "after-commit-before-tell:100" (at the hundredth pass). Throws on an unknown name. */
  constructor(text: readonly string[], die: Die) {
    this.#die = die;
    for (const each of text) {
      const [name = '', at = '1'] = each.split(':');
      if (!names.has(name) || !/^[1-9]\d{0,8}$/.test(at))
        throw new Error(`WEFT_FAILPOINTS: no failpoint ${each}; there are ${[...names].join(', ')}`);
      this.#armed.set(name, Number(at));
    }
  }

  /** Whether a duty is left out for good, so that what makes good for it cannot hide what went wrong. */
  isArmed(name: 'no-resend' | 'no-pull'): boolean {
    return this.#armed.has(name);
  }

  /** True when an armed point acts: `drop-push` only says so, every other point ends the process. */
  reach(name: FailpointName): boolean {
    if (this.#armed.size === 0) return false;
    const left = this.#armed.get(name);
    if (left === undefined) return false;
    if (left > 1) {
      this.#armed.set(name, left - 1);
      return false;
    }
    this.#armed.delete(name);
    if (name !== 'drop-push') this.#die(name);
    return true;
  }
}
