// Access tokens: signed JWTs (RFC 7519, RFC 8037, RFC 9068) that every cell verifies offline with the keys the directory publishes.
import { createPrivateKey, createPublicKey, hash as digest, type KeyObject } from 'node:crypto';
import { WeftError } from '@weft/proto/faults.ts';
import { KeyUse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { idTimeMs, type SessionId, session as sessionId, type UserId, user as userId } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { LruMap } from 'toad-cache';
import { accountLimits as limits } from './account-limits.ts';
import type { CellKeys } from './cell-keys.ts';
import { type Homes, type OwnCell, WrongHome } from './homes.ts';

export interface Access {
  readonly user: UserId;
  readonly session: SessionId;
  readonly device: string;
  /** Name of the cell that signed. */
  readonly issuer: string;
  /** Unix ms; from then on the token is not accepted. */
  readonly endsMs: number;
}

export interface AccessTokensOptions {
  readonly own: OwnCell;
  readonly keys: CellKeys;
  readonly homes: Homes;
  readonly clock: Clock;
  /** Unix ms: what was issued before belongs to an earlier life of the store. */
  readonly notBeforeMs?: number;
}

const type = 'at+jwt';
const algorithm = 'EdDSA';
// The fixed fronts of PKCS #8 and SPKI around a raw Ed25519 key (RFC 8410).
const privateFront = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicFront = Buffer.from('302a300506032b6570032100', 'hex');

export class AccessTokens {
  readonly #options: AccessTokensOptions;
  /** By hash of the token: a storm of reconnects verifies each token once. */
  readonly #verified = new LruMap<Access>(limits.accessCacheMax);
  /** By kid and raw key. At most a few for each cell. */
  readonly #publicKeys = new Map<string, KeyObject>();

  constructor(options: AccessTokensOptions) {
    this.#options = options;
  }

  /** A token for a session of this cell; it ends after accessMsMax. */
  async issue(to: {
    readonly user: bigint;
    readonly session: bigint;
    readonly device: string;
  }): Promise<{ readonly token: string; readonly endsMs: number }> {
    const { own, keys, clock } = this.#options;
    const key = keys.current('token');
    // JWT counts whole seconds (RFC 7519, NumericDate).
    const issued = Math.floor(clock.now() / 1_000);
    // A session's id tells when it began: no token outlives it, so its sockets end with it.
    const sessionEnds = Math.floor((idTimeMs(to.session) + limits.sessionMsMax) / 1_000);
    const ends = Math.min(issued + limits.accessMsMax / 1_000, sessionEnds);
    const token = await new SignJWT({ sid: String(to.session), dev: to.device })
      .setProtectedHeader({ alg: algorithm, typ: type, kid: `${own.name}.${key.version}` })
      .setIssuer(own.name)
      .setSubject(String(to.user))
      .setIssuedAt(issued)
      .setExpirationTime(ends)
      .sign(createPrivateKey({ key: Buffer.concat([privateFront, key.privateKey]), format: 'der', type: 'pkcs8' }));
    return { token, endsMs: ends * 1_000 };
  }

  /**
   * Who holds this token. Only the home of its user accepts it, and only when the home signed it. Whether the session was ended since is not asked.
   * Throws WeftError `token_invalid`, `token_expired`, or WrongHome (`wrong_home`) for a good token of another home.
   */
  async verifyAccess(token: string): Promise<Access> {
    if (token.length > limits.tokenCharsMax) throw new WeftError('token_invalid');
    const hash = digest('sha256', token, 'base64');
    const known = this.#verified.get(hash);
    const access = known ?? (await this.#verify(token));
    if (access.endsMs <= this.#options.clock.now()) throw new WeftError('token_expired');
    this.#requireHome(access);
    if (known === undefined) this.#verified.set(hash, access);
    return access;
  }

  async #verify(token: string): Promise<Access> {
    const { issuer, key } = this.#keyOf(token);
    try {
      const { payload } = await jwtVerify(token, key, {
        issuer,
        algorithms: [algorithm],
        typ: type,
        currentDate: new Date(this.#options.clock.now()),
        requiredClaims: ['sub', 'iat', 'exp'],
      });
      const access = readClaims(payload, issuer);
      // Of a life of the store that is over: whether its session was ended since, nobody knows.
      if (((payload.iat ?? 0) + 1) * 1_000 <= (this.#options.notBeforeMs ?? 0)) throw new WeftError('session_ended');
      return access;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new WeftError('token_expired');
      if (error instanceof errors.JOSEError) throw new WeftError('token_invalid');
      throw error;
    }
  }

  /** The key that the token names: this cell's own from its rows, another's from the directory. */
  #keyOf(token: string): { readonly issuer: string; readonly key: KeyObject } {
    const [, issuer = '', version = ''] = /^([a-z0-9-]{1,64})\.([1-9]\d{0,8})$/.exec(readKid(token)) ?? [];
    const raw = issuer === this.#options.own.name ? this.#ownKey(Number(version)) : this.#otherKey(issuer, Number(version));
    if (raw === undefined) throw new WeftError('token_invalid', 'its key is not known');
    const name = `${issuer}.${version}.${Buffer.from(raw).toString('base64')}`;
    let key = this.#publicKeys.get(name);
    if (key === undefined) {
      key = createPublicKey({ key: Buffer.concat([publicFront, raw]), format: 'der', type: 'spki' });
      if (this.#publicKeys.size >= limits.publicKeysKept) this.#publicKeys.clear();
      this.#publicKeys.set(name, key);
    }
    return { issuer, key };
  }

  #ownKey(version: number): Uint8Array | undefined {
    return this.#options.keys.all('token').find((each) => each.version === version)?.publicKey;
  }

  #otherKey(issuer: string, version: number): Uint8Array | undefined {
    const now = BigInt(this.#options.clock.now());
    return this.#options.homes
      .cell(issuer)
      ?.keys.find((each) => each.use === KeyUse.KEY_USE_TOKEN && each.version === version && (each.ends === 0n || each.ends > now))?.key;
  }

  #requireHome(access: Access): void {
    const { own, homes } = this.#options;
    const home = homes.homeOf(access.user);
    if (home === own.number && access.issuer === own.name) return;
    // A cell's word counts only for those it homes: else one hostile cell could be anybody everywhere.
    if (homes.cell(access.issuer)?.number !== home && access.issuer !== own.name)
      throw new WeftError('token_invalid', 'its issuer is not the home of its user');
    throw new WrongHome(homes.cell(home));
  }
}

function readKid(token: string): string {
  try {
    return decodeProtectedHeader(token).kid ?? '';
  } catch {
    throw new WeftError('token_invalid');
  }
}

function readClaims(claims: JWTPayload, issuer: string): Access {
  const { sub, sid, dev, iat, exp } = claims;
  const decimal = /^[1-9]\d{0,18}$/;
  const sound =
    decimal.test(sub ?? '') &&
    typeof sid === 'string' &&
    decimal.test(sid) &&
    typeof dev === 'string' &&
    iat !== undefined &&
    exp !== undefined &&
    exp - iat <= limits.accessMsMax / 1_000;
  if (!sound) throw new WeftError('token_invalid');
  return { user: userId(BigInt(sub ?? '')), session: sessionId(BigInt(sid)), device: dev, issuer, endsMs: exp * 1_000 };
}
