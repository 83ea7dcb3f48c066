// Where things are unless somebody says otherwise: the one place for the port base, the data folder and the cache.
// Also the one place of this room, beside up.ts, that reads the environment.
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

/** First port of the fabric; it uses the 600 ports from here. */
export const portBaseDefault = 21_000;
/** Where everything listens unless its processes are placed elsewhere. */
export const loopback = '127.0.0.1';
/** Ports from the base on that belong to one fabric. */
export const portsPerFabric = 600;

/** The environment of this process. Everything else of the room takes it as a value. */
export const machineEnvironment = (): Environment => process.env;

export const isRoot = (): boolean => process.getuid?.() === 0;

/**
 * The folder of the fabric's data: outside the checkout, so that a fresh clone finds it again. As root not under
 * /root (0700): PostgreSQL runs as another user, who must be able to reach its files.
 */
export function dataDirDefault(env: Environment = machineEnvironment()): string {
  if (env.WEFT_DATA) return env.WEFT_DATA;
  return join(isRoot() ? '/var/tmp' : tmpdir(), `weft-${process.getuid?.() ?? 0}`);
}

/** Where fetched servers and data sets are kept over all clones. */
export function cacheDirDefault(env: Environment = machineEnvironment()): string {
  if (env.WEFT_CACHE_DIR) return env.WEFT_CACHE_DIR;
  if (isRoot()) return '/var/cache/weft';
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'weft');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weft');
}

/** Environment of a child: its own settings and nothing else of ours, so that no locale or proxy of the machine matters. */
export const childEnvironment = (home: string, env: Environment = machineEnvironment()): Record<string, string> => ({
  PATH: env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
  HOME: home,
  TZ: 'UTC',
  LC_ALL: 'C',
});
