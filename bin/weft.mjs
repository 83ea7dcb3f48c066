// The one file that runs on whatever Node the machine has; plain JavaScript without dependencies, because it runs before
// anything is installed. It brings node_modules in line with package-lock.json and goes on under the pinned Node.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const installLock = join(root, '.install.lock');
const nodeMajor = Number(process.versions.node.split('.')[0]);
const nodeMajorMin = 24;
const launcherNodeMajorMin = 20;
/** Longer than any install seen (44 s on busy cores): the holder is stuck, or its pid now belongs to somebody else. */
const installWaitMsMax = 600_000;
const installPollMs = 200;
const orphanPollMs = 500;
/** The supervisor drains within 5 s and stops its servers in as much again. */
const orphanKillMs = 20_000;

const commands = {
  up: 'local/up.ts',
  chat: 'clients/terminal/main.ts',
  handover: 'local/owner.ts',
  where: 'local/where.ts',
  replay: 'bench/replay.ts',
  bench: 'bench/main.ts',
  simulate: 'tests/simulation/main.ts',
  faults: 'tests/faults/main.ts',
  powercut: 'tests/powercut/main.ts',
  check: 'tools/check.ts',
  test: 'tools/test.ts',
  generate: 'tools/generate.ts',
};

function fail(message, code = 1) {
  console.error(`weft: ${message}`);
  process.exit(code);
}

const isPackaged = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64');

/** Ends with one line where Weft cannot run, before anything is downloaded. */
function requirePlatform() {
  const here = `${process.platform}-${process.arch}`;
  if (isPackaged) {
    if (nodeMajor < launcherNodeMajorMin)
      fail(`needs Node ${launcherNodeMajorMin} or newer to install itself; this is ${process.version}.`);
  } else if (process.platform !== 'darwin') {
    fail(`runs on Linux (x64, arm64) and macOS; this is ${here}.`);
  } else if (nodeMajor < nodeMajorMin) {
    fail(`on macOS needs Node ${nodeMajorMin} or newer; this is ${process.version}. Install it and start again.`);
  }
}

const readPackages = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;

/** Left by us after an install; npm deletes it with node_modules when it begins the next one. */
const installedMark = join(modules, '.weft-installed');
const lockDigest = () =>
  createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');

/** True when this very lockfile was installed here, even if npm saw reason to leave some of it out. */
function isMarked() {
  try {
    return readFileSync(installedMark, 'utf8') === lockDigest();
  } catch {
    return false;
  }
}

/** True when node_modules holds what the lockfile says. npm writes its record last, so an interrupted install has none. */
function installed() {
  if (isMarked()) return true;
  let want;
  let have;
  try {
    want = readPackages(join(root, 'package-lock.json'));
    have = readPackages(join(modules, '.package-lock.json'));
  } catch {
    return false;
  }
  return Object.entries(want).every(([path, locked]) => {
    if (path === '') return true;
    const present = have[path];
    // Packages of other platforms are locked, but never unpacked here.
    if (present === undefined) return locked.optional === true || locked.devOptional === true || locked.peer === true;
    // A workspace is a link to our own folder: it has no integrity, and its version says nothing about its files.
    if (locked.link || !path.includes('node_modules/')) return present.link === locked.link;
    return present.version === locked.version && present.integrity === locked.integrity;
  });
}

const isOurs = (path) => path === modules || path.startsWith(modules + sep);

/** PATH without our node_modules: `npm ci` deletes the Node that lives there, so it must not run on it. */
function outerPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.filter((folder) => !isOurs(folder)).join(delimiter);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Linking a file that already holds our pid is atomic: nobody ever sees a lock without its holder. */
function tryLock() {
  const mine = `${installLock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    linkSync(mine, installLock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

function lockHolder() {
  try {
    return Number(readFileSync(installLock, 'utf8')) || 0;
  } catch {
    return undefined;
  }
}

/** Moves a dead holder's lock aside; the rename succeeds for one of those who try, and a lock taken meanwhile is put back. */
function clearDeadLock(deadPid) {
  const aside = `${installLock}.dead-${process.pid}`;
  try {
    renameSync(installLock, aside);
    if (Number(readFileSync(aside, 'utf8')) !== deadPid) linkSync(aside, installLock);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

async function lockInstall() {
  const deadline = Date.now() + installWaitMsMax;
  for (let told = false; !tryLock(); ) {
    const holder = lockHolder();
    if (holder === undefined) continue;
    if (!isAlive(holder)) {
      clearDeadLock(holder);
      continue;
    }
    if (!told) console.error(`weft: process ${holder} is installing the packages, waiting for it`);
    told = true;
    if (Date.now() > deadline)
      fail(`process ${holder} has held .install.lock for ${installWaitMsMax / 60_000} minutes; if it is not an install, delete the file.`);
    await sleep(installPollMs);
  }
}

/** What a running npm script leaves in the environment must not configure the inner npm; registry, proxy and login must. */
function installEnvironment() {
  const isNpms = /^npm_(lifecycle|package|command|node_execpath|execpath)/i;
  const isKept = /registry|cache|proxy|cafile|userconfig|globalconfig|_auth/i;
  const env = Object.entries(process.env).filter(([key]) => !isNpms.test(key) && (!/^npm_config_/i.test(key) || isKept.test(key)));
  // Behind a company's certificate Node 24 trusts only its own list unless told otherwise, and npm then retries for minutes.
  return { NODE_USE_SYSTEM_CA: '1', ...Object.fromEntries(env), PATH: outerPath() };
}

/** The npm that runs this script when there is one, else the first on PATH; never one that lives in our node_modules. */
function npmCommand() {
  const { npm_node_execpath: node, npm_execpath: npm } = process.env;
  const usable = node && npm && !isOurs(node) && !isOurs(npm) && existsSync(node) && existsSync(npm) && /npm-cli\.c?js$/.test(npm);
  return usable ? [node, npm] : ['npm'];
}

async function install() {
  await lockInstall();
  try {
    if (installed()) return;
    console.error('weft: installing the packages (npm ci) …');
    const startedMs = Date.now();
    const [program, ...first] = npmCommand();
    const args = [...first, 'ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: installEnvironment() });
    const { code, reason } = await ended(child);
    if (code !== 0) {
      rmSync(installLock, { force: true });
      fail(`npm ci failed (${reason}); what npm said is above.`);
    }
    writeFileSync(installedMark, lockDigest());
    console.error(`weft: packages installed in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
  } finally {
    rmSync(installLock, { force: true });
  }
}

/** Resolves when the child is gone; until then signals and the loss of our parent are passed on to it. */
function ended(child) {
  const stop = (signal) => child.kill(signal);
  // Ctrl-C in a terminal reaches the whole group; sent on, the child would get it twice and take it for impatience.
  const onInterrupt = () => process.stdin.isTTY || stop('SIGINT');
  const onTerminate = () => stop('SIGTERM');
  const onHangup = () => stop('SIGHUP');
  process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate).on('SIGHUP', onHangup);
  // npm starts scripts through a shell; a signal that ends only npm or the shell leaves us with another parent.
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop('SIGTERM');
    setTimeout(() => stop('SIGKILL'), orphanKillMs).unref();
  }, orphanPollMs);
  return new Promise((resolve) => {
    const done = (result) => {
      clearInterval(watch);
      process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate).off('SIGHUP', onHangup);
      resolve(result);
    };
    child.once('error', (error) => done({ code: 1, reason: error.message }));
    child.once('exit', (code, signal) => done({ code: code ?? 128 + (constants.signals[signal] ?? 1), reason: signal ?? `exit ${code}` }));
  });
}

/** The pinned Node, or this one where it is new enough (macOS; Linux without glibc). */
function pickNode() {
  const pinned = join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(pinned) && spawnSync(pinned, ['-v'], { stdio: 'ignore' }).status === 0) return pinned;
  if (nodeMajor >= nodeMajorMin) return process.execPath;
  return fail(
    `the packaged Node ${nodeMajorMin} does not run on this system and its own is ${process.version}; install Node ${nodeMajorMin} or newer.`,
  );
}

/** With setpriv the kernel ends the program when this launcher is killed in a way it cannot pass on. */
function programOf(node, script, args) {
  const hasSetpriv =
    process.platform === 'linux' && spawnSync('setpriv', ['--pdeathsig', 'TERM', 'true'], { stdio: 'ignore' }).status === 0;
  return hasSetpriv ? ['setpriv', '--pdeathsig', 'TERM', node, script, ...args] : [node, script, ...args];
}

async function main() {
  const [command = 'up', ...args] = process.argv.slice(2);
  if (!Object.hasOwn(commands, command)) fail(`unknown command ${command}; one of: ${Object.keys(commands).join(', ')}.`, 2);
  requirePlatform();
  if (!installed()) await install();
  const [program, ...rest] = programOf(pickNode(), join(root, commands[command]), args);
  const env = { ...process.env, PATH: join(modules, '.bin') + delimiter + outerPath() };
  const { code, reason } = await ended(spawn(program, rest, { stdio: 'inherit', env }));
  if (code !== 0 && reason.startsWith('spawn')) console.error(`weft: ${reason}`);
  process.exit(code);
}

await main();
