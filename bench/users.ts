// Users for the load: signed up once through the REST door and kept, with their refresh tokens, in the fabric's data folder.

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inParallel } from '@weft/local/in-parallel.ts';
import type { BenchCell } from './fabric.ts';
import { benchLimits } from './limits.ts';
import type { LoadUser } from './load-client.ts';
import { post, RestProblem, type Session } from './rest.ts';

interface KeptUser {
  readonly handle: string;
  readonly password: string;
  readonly user: string;
  accessToken: string;
  accessEnds: number;
  refreshToken: string;
}

const device = 'bench';
/** No two of these look alike: handles whose skeletons are equal are refused. */
const handleLetters = 'bcdfghjkpqstxz';

/** A handle of plain letters from any text; the same text gives the same handle. */
export function handleOf(prefix: string, text: string): string {
  let number = createHash('sha256').update(text).digest().readBigUInt64BE() >> 4n;
  let handle = prefix;
  for (let i = 0; i < 14; i++) {
    handle += handleLetters[Number(number % 14n)];
    number /= 14n;
  }
  return handle;
}

/** The file of one data folder, read at once and rewritten as a whole; mode 0600, for it holds passwords. */
class KeptUsers {
  readonly #file: string;
  readonly #cells: Record<string, KeptUser[]>;

  constructor(dataDir: string) {
    this.#file = join(dataDir, 'bench-users.json');
    this.#cells = existsSync(this.#file) ? (JSON.parse(readFileSync(this.#file, 'utf8')) as Record<string, KeptUser[]>) : {};
  }

  of(cell: string): KeptUser[] {
    this.#cells[cell] ??= [];
    return this.#cells[cell];
  }

  save(): void {
    const next = `${this.#file}.new`;
    writeFileSync(next, JSON.stringify(this.#cells), { mode: 0o600 });
    renameSync(next, this.#file);
  }
}

export class BenchUsers {
  readonly #kept: KeptUsers;
  readonly #tell: (line: string) => void;

  constructor(dataDir: string, tell: (line: string) => void) {
    this.#kept = new KeptUsers(dataDir);
    this.#tell = tell;
  }

  /**
   * The first n users of a cell in the order of their ids, each with an access token that lives at least tokenLifeMsMin.
   * They are spread over the first `nodes` nodes of the cell. The one place that makes users: another way to make them fits here.
   */
  async makeUsers(n: number, cell: BenchCell, nodes = 1): Promise<LoadUser[]> {
    const kept = this.#kept.of(cell.name);
    const start = Date.now();
    const missing = n - kept.length;
    if (missing > 0) {
      const made = await inParallel(Array.from({ length: missing }), benchLimits.signUpsInFlightMax, () => signUp(cell));
      kept.push(...made);
      kept.sort((a, b) => (BigInt(a.user) < BigInt(b.user) ? -1 : 1));
      this.#kept.save();
      const ms = Date.now() - start;
      this.#tell(`${missing} users signed up in ${cell.name}: ${(ms / 1000).toFixed(1)} s, ${(ms / missing).toFixed(1)} ms each`);
    }
    const users = kept.slice(0, n);
    const stale = users.filter((user) => user.accessEnds < Date.now() + benchLimits.tokenLifeMsMin);
    if (stale.length > 0) {
      await inParallel(stale, benchLimits.signUpsInFlightMax * 4, (user) => renew(cell, user)).finally(() => this.#kept.save());
    }
    return users.map((user, at) => {
      return {
        user: user.user,
        device,
        accessToken: user.accessToken,
        url: cell.socketUrls[at % Math.min(nodes, cell.socketUrls.length)] ?? '',
      };
    });
  }
}

async function signUp(cell: BenchCell): Promise<KeptUser> {
  const handle = handleOf('b', randomBytes(16).toString('hex'));
  const password = randomBytes(15).toString('base64url');
  const session = await post<Session>(`${cell.restUrl}/v1/accounts`, { handle, password, device });
  return {
    handle,
    password,
    user: session.user,
    accessToken: session.access_token,
    accessEnds: session.access_ends,
    refreshToken: session.refresh_token,
  };
}

/** Refreshes the session; logs in again where the refresh token is spent (a bench was killed between answer and save). */
async function renew(cell: BenchCell, user: KeptUser): Promise<void> {
  const session = await post<Session>(`${cell.restUrl}/v1/sessions/refresh`, { refresh_token: user.refreshToken }).catch(
    (error: unknown) => {
      if (!(error instanceof RestProblem)) throw error;
      return post<Session>(`${cell.restUrl}/v1/sessions`, { handle: user.handle, password: user.password, device });
    },
  );
  user.accessToken = session.access_token;
  user.accessEnds = session.access_ends;
  user.refreshToken = session.refresh_token;
}
