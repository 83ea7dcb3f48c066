// How often somebody may try. Counted in Redis for the whole cell, in each node's memory while Redis is away.
import { createHash } from 'node:crypto';
import { WeftError } from '@weft/proto/faults.ts';
import type { openRedis } from '@weft/runtime/redis.ts';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { accountLimits as limits } from './account-limits.ts';

export interface AttemptLimit {
  readonly points: number;
  readonly ms: number;
}

export interface AttemptLimits {
  /** Failed log-ins into one account, and from one address. */
  readonly account: AttemptLimit;
  readonly address: AttemptLimit;
  /** Sign-ups from one address. */
  readonly signUp: AttemptLimit;
}

export interface Attempt {
  /** `wrong`: the password was wrong. Anything else, a success or a fault, was no failed try. */
  settle(wrong: boolean): Promise<void>;
}

const defaults: AttemptLimits = {
  account: { points: limits.accountFailuresMax, ms: limits.accountFailuresMs },
  address: { points: limits.addressFailuresMax, ms: limits.addressFailuresMs },
  signUp: { points: limits.addressSignUpsMax, ms: limits.addressSignUpsMs },
};

export class Attempts {
  readonly #account: RateLimiterRedis;
  readonly #address: RateLimiterRedis;
  readonly #signUp: RateLimiterRedis;

  constructor(redis: ReturnType<typeof openRedis>, bounds: Partial<AttemptLimits> = {}) {
    const limiter = (name: keyof AttemptLimits): RateLimiterRedis => {
      const { points, ms } = bounds[name] ?? defaults[name];
      const duration = ms / 1_000;
      return new RateLimiterRedis({
        storeClient: redis,
        keyPrefix: `attempts:${name}`,
        points,
        duration,
        insuranceLimiter: new RateLimiterMemory({ points, duration }),
      });
    };
    this.#account = limiter('account');
    this.#address = limiter('address');
    this.#signUp = limiter('signUp');
  }

  /**
   * Begins one try to log in; {@link Attempt.settle} must end it. Only wrong tries are held against anybody, but tries under way count for the account
   * too, so that many at once are no way around its limit. Throws WeftError `rate_limited` with the time to wait, the same for an account that does not exist.
   */
  async logIn(handle: string, address: string): Promise<Attempt> {
    const account = keyOf(handle);
    const from = keyOf(address);
    // Not counted while under way: everybody behind one address may come back at once.
    const failures = await this.#address.get(from);
    if (failures !== null && failures.consumedPoints >= this.#address.points) throw limited(failures);
    try {
      await this.#account.consume(account, 1);
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      await this.#account.reward(account, 1);
      throw limited(error);
    }
    return {
      settle: async (wrong) => {
        if (wrong) await this.#address.penalty(from, 1);
        else await this.#account.reward(account, 1);
      },
    };
  }

  /** Throws WeftError `rate_limited`. */
  async signUp(address: string): Promise<void> {
    try {
      await this.#signUp.consume(keyOf(address), 1);
    } catch (error) {
      throw error instanceof RateLimiterRes ? limited(error) : error;
    }
  }
}

/** Handles and addresses are nobody's business in Redis, and are of any length. */
const keyOf = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22);

const limited = (held: RateLimiterRes): WeftError => new WeftError('rate_limited', '', Math.max(held.msBeforeNext, 1));
