// How often an address may ask: one token bucket each, in a table of bounded size. Pure: time is an argument.
import { isIPv6 } from 'node:net';
import { LruMap } from 'toad-cache';

export interface AddressRateOptions {
  readonly perSecond: number;
  /** Requests at once after a pause. */
  readonly burst: number;
  /** Addresses remembered. */
  readonly addressesMax: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class AddressRate {
  readonly #options: AddressRateOptions;
  readonly #buckets: LruMap<Bucket>;

  constructor(options: AddressRateOptions) {
    this.#options = options;
    this.#buckets = new LruMap(options.addressesMax);
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token. 0: go on; otherwise the milliseconds until there is one. `nowMs` never steps back. */
  take(address: string, nowMs: number): number {
    const { perSecond, burst } = this.#options;
    const key = networkOf(address);
    const before = this.#buckets.get(key);
    const tokens = before === undefined ? burst : Math.min(burst, before.tokens + ((nowMs - before.atMs) * perSecond) / 1_000);
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, atMs: nowMs });
    return allowed ? 0 : Math.ceil(((1 - tokens) * 1_000) / perSecond);
  }
}

/** One subscriber has a whole /64 of IPv6 (RFC 6177): its addresses count as one. */
export function networkOf(address: string): string {
  const bare = address.split('%', 1)[0] ?? address;
  if (!isIPv6(bare)) return bare;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  if (mapped?.[1] !== undefined) return mapped[1];
  const [head = '', tail = ''] = bare.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === '' ? [] : tail.split(':');
  const words = bare.includes('::')
    ? [...front, ...Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0'), ...back]
    : front;
  return `${words
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':')}::/64`;
}
