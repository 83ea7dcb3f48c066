// How each server is started on one small machine: the settings that matter, and why.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirDefault, childEnvironment, isRoot, loopback } from './defaults.ts';
import type { ServerName, Servers } from './fetch-servers.ts';
import { limits } from './limits.ts';
import type { ProcessPlan, ProcessUser } from './processes.ts';

const run = promisify(execFile);

/** What every server's plan is made from. `dataDir` must be reachable for PostgreSQL's user (not below a 0700 folder). */
export interface ServerPlace {
  readonly servers: Servers;
  readonly dataDir: string;
  readonly name: string;
  /** Address to listen on; loopback when absent. */
  readonly host?: string;
  readonly port: number;
}

function programOf(place: ServerPlace, name: ServerName): string {
  const found = place.servers.get(name);
  if (found === undefined) throw new Error(`${name} was not fetched before ${place.name} was to start`);
  return found.path;
}

const placed = (place: ServerPlace): { name: string; dir: string; logFile: string } => ({
  name: place.name,
  dir: join(place.dataDir, place.name),
  logFile: join(place.dataDir, 'logs', `${place.name}.log`),
});

/** PostgreSQL refuses root: the user `postgres` if there is one, else `nobody`. */
export function postgresUser(): ProcessUser | undefined {
  if (!isRoot()) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (user === undefined)
    throw new Error(
      'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as: add one (useradd --system postgres)',
    );
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

// Many small clusters on one machine: no workers nobody needs, no compiler, and room for bursts of WAL.
const postgresSettings: Readonly<Record<string, string>> = {
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '128MB',
  jit: 'off',
  io_method: 'sync',
  autovacuum_naptime: '60s',
  max_wal_size: '2GB',
  min_wal_size: '64MB',
  max_worker_processes: '2',
  max_logical_replication_workers: '0',
  max_parallel_workers: '0',
  max_parallel_workers_per_gather: '0',
  log_checkpoints: 'off',
};
const durable: Readonly<Record<string, string>> = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' };
const fast: Readonly<Record<string, string>> = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

export interface PostgresOptions {
  /** Without fsync: only for tests whose subject is not durability. */
  readonly fast?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
}

/** A PostgreSQL of its own, its cluster made from the template at the first start. User postgres, no password, loopback only. */
export async function postgresPlan(place: ServerPlace, options: PostgresOptions = {}): Promise<ProcessPlan> {
  const program = programOf(place, 'postgres');
  const { name, dir, logFile } = placed(place);
  const user = postgresUser();
  if (!existsSync(join(dir, 'PG_VERSION'))) await makeCluster(program, dir, options.fast ?? false);
  const where = { listen_addresses: place.host ?? loopback };
  const settings = { ...postgresSettings, ...where, ...(options.fast ? fast : durable), port: String(place.port), ...options.settings };
  // As pg_ctl does: line 1 of postmaster.pid is the process, line 8 its state. An open port may still answer 57P03.
  const ready = async (pid: number): Promise<boolean> => {
    const file = join(dir, 'postmaster.pid');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  };
  const leftover = (): boolean => isShared(dir);
  if (place.host !== undefined && place.host !== loopback) trustTheNetwork(dir);
  const args = ['-D', dir, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])];
  return { name, dir, logFile, program, args, leftover, ready, ports: [place.port], stopSignal: 'SIGINT', ...(user ? { user } : {}) };
}

/**
 * Whether processes of a killed server still have its shared memory: they need a moment to see that it is gone, and PostgreSQL
 * refuses to start meanwhile. Its identifier is the second word of line 7 of postmaster.pid. Off Linux always false.
 */
function isShared(dir: string): boolean {
  const [pidFile, memories] = [join(dir, 'postmaster.pid'), '/proc/sysvipc/shm'];
  if (!existsSync(pidFile) || !existsSync(memories)) return false;
  const memory = readFileSync(pidFile, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1];
  const [heads = [], ...rows] = readFileSync(memories, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const row = rows.find((words) => words[heads.indexOf('shmid')] === memory);
  return row !== undefined && Number(row[heads.indexOf('nattch')]) > 0;
}

/** In a network namespace of its own the only neighbours are processes of the same fabric. */
function trustTheNetwork(dir: string): void {
  writeFileSync(join(dir, 'pg_hba.conf'), 'host all all samenet trust\nhost all all samehost trust\n');
}

/** Copies the template beside the final folder and renames it, so that a killed start leaves no half cluster. */
async function makeCluster(program: string, dir: string, fastOnly: boolean): Promise<void> {
  const template = await clusterTemplate(program);
  const user = postgresUser();
  mkdirSync(dirname(dir), { recursive: true });
  const fresh = mkdtempSync(`${dir}.new-`);
  await run('cp', ['-R', `${template}/.`, fresh]);
  if (user) await run('chown', ['-R', `${user.uid}:${user.gid}`, fresh]);
  await run('chmod', ['-R', 'u+rwX,go-rwx', fresh]);
  if (!fastOnly) await initdb(program, ['--sync-only', '-D', fresh], user);
  rmSync(dir, { recursive: true, force: true });
  renameSync(fresh, dir);
}

/** `initdb` once per program and user, then copies of it: 0.15 s instead of 0.6 s and more. */
async function clusterTemplate(program: string): Promise<string> {
  const user = postgresUser();
  const key = createHash('sha256')
    .update(`${program} ${user?.uid ?? ''}`)
    .digest('hex')
    .slice(0, 12);
  const template = join(cacheDirDefault(), 'postgres-templates', key);
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  mkdirSync(dirname(template), { recursive: true, mode: 0o755 });
  const fresh = mkdtempSync(`${template}.new-`);
  if (user) await run('chown', [`${user.uid}:${user.gid}`, fresh]);
  // The builtin C.UTF-8 needs no locale on the machine.
  const locale = ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'];
  await initdb(program, ['-D', fresh, '-U', 'postgres', '--auth=trust', '--no-sync', ...locale], user);
  try {
    renameSync(fresh, template);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another process was faster.
    if (!existsSync(join(template, 'PG_VERSION'))) throw error;
  }
  return template;
}

async function initdb(program: string, args: readonly string[], user: ProcessUser | undefined): Promise<void> {
  const options = { ...user, cwd: '/', env: childEnvironment('/'), timeout: limits.readyMsMax, maxBuffer: limits.outputBytesMax };
  await run(join(dirname(program), 'initdb'), [...args], options).catch((error: Error & { stderr?: string }) => {
    throw new Error(`initdb failed: ${error.stderr || error.message}`, { cause: error });
  });
}

/** A Valkey that keeps nothing on disk: it holds only what may be lost. */
export function valkeyPlan(place: ServerPlace): ProcessPlan {
  const keepNothing = ['--save', '', '--appendonly', 'no', '--daemonize', 'no'];
  const small = ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru', '--hz', '5'];
  const host = place.host ?? loopback;
  const open = host === loopback ? [] : ['--protected-mode', 'no'];
  const args = ['--port', String(place.port), '--bind', host, ...open, ...keepNothing, ...small];
  return { ...placed(place), program: programOf(place, 'valkey-server'), args, ports: [place.port] };
}

export interface NatsText {
  /** The whole configuration; `$DIR` stands for the server's own folder. */
  readonly text: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Ports beside the client port. */
  readonly otherPorts?: readonly number[];
}

/** A nats-server from its configuration text; the file is 0600, as it may hold secrets. */
export function natsPlan(place: ServerPlace, config: NatsText): ProcessPlan {
  const base = placed(place);
  mkdirSync(base.dir, { recursive: true });
  const file = join(place.dataDir, `${place.name}.conf`);
  rmSync(file, { force: true });
  writeFileSync(file, config.text.replaceAll('$DIR', base.dir), { mode: 0o600 });
  const ports = [place.port, ...(config.otherPorts ?? [])];
  return { ...base, program: programOf(place, 'nats-server'), args: ['-c', file], ports, env: { GOMEMLIMIT: '128MiB', ...config.env } };
}
