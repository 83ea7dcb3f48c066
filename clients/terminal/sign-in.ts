// From a name to a connected client: the stored session, else a log-in, else a sign-up.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { fileOutbox } from '@weft/client/outbox-file-node.ts';
import type { Ports } from '@weft/client/ports.ts';
import { fileSession } from '@weft/client/session-file-node.ts';
import { Weft } from '@weft/client/weft.ts';
import { WeftError } from '@weft/proto/faults.ts';

import { terminalLimits as limits } from './limits.ts';

export interface SignIn {
  readonly handle: string;
  readonly region: string;
  /** Tried in turn. */
  readonly routers: readonly string[];
  /** Of this user: session, outbox, password. */
  readonly stateDir: string;
  readonly password: string | undefined;
  readonly ports?: Partial<Ports>;
}

const agent = 'weft-terminal/0.1';
const outboxName = 'outbox.jsonl';

/** Throws WeftError: `login_failed`, `handle_invalid` …, `not_ready` when no router answers. */
export async function signIn(who: SignIn): Promise<Weft> {
  const session = fileSession(join(who.stateDir, 'session.json'));
  const ports: Partial<Ports> = { session, outbox: fileOutbox(join(who.stateDir, outboxName)), ...who.ports };
  const stored = await session.load();
  if (stored !== undefined) {
    const weft = await Weft.resume({ session: stored, ports, agent });
    if (await isUsable(weft)) return weft;
    await weft.close();
  }
  return viaAny(who.routers, (router) => enter(who, router, ports));
}

/** False when only a new log-in helps. */
async function isUsable(weft: Weft): Promise<boolean> {
  await weft.live(limits.resumeMsMax).catch(() => undefined);
  return weft.state.stop !== 'login';
}

async function enter(who: SignIn, router: string, ports: Partial<Ports>): Promise<Weft> {
  const passwordPath = join(who.stateDir, 'password');
  const known = who.password ?? (await readFile(passwordPath, 'utf8').catch(() => undefined));
  const password = known ?? randomBytes(18).toString('base64url');
  const account = { router, handle: who.handle, password, ports, agent };
  try {
    return await Weft.logIn(account);
  } catch (error) {
    if (!(error instanceof WeftError) || error.code !== 'unknown_user') throw error;
  }
  await mkdir(who.stateDir, { recursive: true, mode: 0o700 });
  // Of an account that no longer exists.
  await rm(join(who.stateDir, outboxName), { force: true });
  // Kept before it is used: a password nobody knows would lock the account.
  await writeFile(passwordPath, password, { mode: 0o600 });
  return Weft.signUp({ ...account, region: who.region });
}

async function viaAny<T>(routers: readonly string[], attempt: (router: string) => Promise<T>): Promise<T> {
  let last: unknown = new WeftError('not_ready', 'no router is known');
  for (const router of routers) {
    try {
      return await attempt(router);
    } catch (error) {
      last = error;
      if (!(error instanceof WeftError) || error.code !== 'not_ready') throw error;
    }
  }
  throw last;
}
