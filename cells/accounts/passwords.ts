// Passwords: Argon2id (RFC 9106) with a pepper that is not in the database. Rules after OWASP ASVS 5, 6.2.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hash, parseOptions, verify } from '@node-rs/argon2';
import { WeftError } from '@weft/proto/faults.ts';
import { accountLimits as limits } from './account-limits.ts';
import { HashingQueue } from './hashing-queue.ts';

/** What is stored: the PHC string, and which pepper went into it. */
export interface StoredPassword {
  readonly hash: string;
  readonly pepper: number;
}

export type PasswordMatch = 'wrong' | 'right' | 'right-but-old';

export interface PasswordsOptions {
  /** By id, 32 bytes each; the highest id is the current one. An old one stays until no hash names it. */
  readonly peppers: ReadonlyMap<number, Uint8Array>;
  readonly queue?: HashingQueue;
}

/** OWASP's first choice for Argon2id: 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 } as const;

export class Passwords {
  readonly #peppers: ReadonlyMap<number, Uint8Array>;
  readonly #current: number;
  readonly #queue: HashingQueue;
  readonly #common: ReadonlySet<string>;
  /** Hash of a password nobody knows: what an unknown handle is compared with, so that it takes as long as a known one. */
  readonly #dummy: StoredPassword;

  private constructor(options: PasswordsOptions, common: ReadonlySet<string>, dummy: StoredPassword) {
    this.#peppers = options.peppers;
    this.#current = currentPepper(options.peppers);
    this.#queue = options.queue ?? new HashingQueue();
    this.#common = common;
    this.#dummy = dummy;
  }

  static async open(options: PasswordsOptions): Promise<Passwords> {
    const pepper = currentPepper(options.peppers);
    const dummy = { hash: await hashWith(randomBytes(24).toString('base64url'), pepperOf(options.peppers, pepper)), pepper };
    return new Passwords(options, await readCommon(), dummy);
  }

  /** Throws WeftError `password_invalid`: 8 to 256 characters, none of the most common ones, not the handle itself; nothing else is asked. */
  check(password: string, handle: string): void {
    const text = canonical(password);
    const chars = [...text].length;
    if (chars < limits.passwordCharsMin || chars > limits.passwordCharsMax) {
      throw new WeftError('password_invalid', `${limits.passwordCharsMin} to ${limits.passwordCharsMax} characters`);
    }
    const folded = text.toLowerCase();
    if (this.#common.has(folded) || folded === handle) throw new WeftError('password_invalid', 'it is among the first ones that are tried');
  }

  /** Throws WeftError `busy` when too many hashes wait. */
  async hash(password: string): Promise<StoredPassword> {
    const pepper = pepperOf(this.#peppers, this.#current);
    return { hash: await this.#queue.run(() => hashWith(canonical(password), pepper)), pepper: this.#current };
  }

  /**
   * `right-but-old`: right, and to be hashed anew because the pepper or the cost changed. Without `stored` it takes the same time and is wrong.
   * Throws WeftError `busy` when too many hashes wait.
   */
  async match(password: string, stored: StoredPassword | undefined): Promise<PasswordMatch> {
    // A hash whose pepper was taken away can never match; it must not answer faster, or the pepper's age shows.
    const known = stored !== undefined && this.#peppers.has(stored.pepper) ? stored : undefined;
    const against = known ?? this.#dummy;
    const secret = pepperOf(this.#peppers, against.pepper);
    const right = await this.#queue.run(() => verify(against.hash, canonical(password), { secret }));
    if (!right || known === undefined) return 'wrong';
    return known.pepper === this.#current && hasCurrentCost(known.hash) ? 'right' : 'right-but-old';
  }
}

const canonical = (password: string): string => password.normalize('NFKC');
const hashWith = (password: string, pepper: Uint8Array): Promise<string> => hash(password, { ...cost, secret: pepper });

function hasCurrentCost(phc: string): boolean {
  const used = parseOptions(phc);
  return (
    phc.startsWith('$argon2id$') &&
    used.memoryCost === cost.memoryCost &&
    used.timeCost === cost.timeCost &&
    used.parallelism === cost.parallelism &&
    used.outputLen === cost.outputLen
  );
}

function currentPepper(peppers: ReadonlyMap<number, Uint8Array>): number {
  assert(peppers.size > 0, 'at least one pepper');
  return Math.max(...peppers.keys());
}

function pepperOf(peppers: ReadonlyMap<number, Uint8Array>, id: number): Uint8Array {
  const pepper = peppers.get(id);
  assert(pepper !== undefined);
  return pepper;
}

async function readCommon(): Promise<ReadonlySet<string>> {
  const text = await readFile(new URL('./common-passwords.txt', import.meta.url), 'utf8');
  return new Set(text.split('\n').filter((line) => line !== ''));
}
