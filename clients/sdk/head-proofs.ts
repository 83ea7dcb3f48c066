// Checks the signatures under heads with the keys the home cell publishes for all cells.
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { epochParts } from '@weft/proto/positions.ts';
import { headBytes } from '@weft/proto/signed-head.ts';

import { bytesFromBase64Url } from './base64.ts';
import { clientLimits as limits } from './limits.ts';
import type { Clock, Verify } from './ports.ts';

interface Jwk {
  readonly kid: string;
  readonly x: string;
  readonly weft_cell: number;
}

export class HeadProofs {
  readonly #verify: Verify;
  readonly #clock: Clock;
  readonly #read: () => Promise<unknown>;
  #keys: ReadonlyMap<string, Jwk> = new Map();
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: { verify: Verify; clock: Clock; read: () => Promise<unknown> }) {
    this.#verify = options.verify;
    this.#clock = options.clock;
    this.#read = options.read;
  }

  /** Whether the owner of its epoch signed it; undefined when its key, or the means to check, is not to be had now. */
  async proves(head: SignedHead): Promise<boolean | undefined> {
    try {
      const key = this.#keys.get(head.kid) ?? (await this.#fetch(head.kid));
      if (key === undefined) return undefined;
      if (key.weft_cell !== epochParts(head.epoch).cell) return false;
      return await this.#verify(bytesFromBase64Url(key.x), headBytes(head), head.signature);
    } catch {
      return undefined;
    }
  }

  async #fetch(kid: string): Promise<Jwk | undefined> {
    if (this.#reading === undefined && this.#clock.monotonic() - this.#readMs >= limits.keysAgainMs) {
      this.#readMs = this.#clock.monotonic();
      this.#reading = this.#read().then((body) => {
        this.#keys = new Map(keysIn(body).map((key) => [key.kid, key]));
      });
      this.#reading.finally(() => (this.#reading = undefined)).catch(() => undefined);
    }
    await this.#reading;
    return this.#keys.get(kid);
  }
}

function keysIn(body: unknown): Jwk[] {
  const keys = (body as { readonly keys?: unknown } | undefined)?.keys;
  if (!Array.isArray(keys)) return [];
  return keys.filter((key): key is Jwk => typeof key?.kid === 'string' && typeof key.x === 'string' && typeof key.weft_cell === 'number');
}
