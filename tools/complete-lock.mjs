// `npm install` leaves an optional platform package out of the lockfile when the registry in use does not carry it, and then
// `npm ci` refuses the lockfile ("Missing: @biomejs/cli-win32-x64@ from lock file"). This adds the missing entries, marked with
// their platform, so that no machine of another platform ever fetches them. `--check` writes nothing and fails instead, also
// when a room's package.json has moved on.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lockPath = join(root, 'package-lock.json');

const systems = new Map(
  ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
    .map((os) => [os, os])
    .concat([['windows', 'win32']]),
);
const processors = new Map([
  ...['x64', 'arm64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el', 'wasm32'].map((cpu) => [cpu, cpu]),
  ...[
    ['x86_64', 'x64'],
    ['amd64', 'x64'],
    ['aarch64', 'arm64'],
    ['armv7', 'arm'],
    ['armv6', 'arm'],
    ['universal', undefined],
  ],
]);

/** Where Node would look for `name` from the package at `location`: its own folder first, then every folder above. */
function placesOf(name, location) {
  const parts = location === '' ? [] : location.split('/');
  const depths = [...Array(parts.length + 1).keys()].reverse().filter((depth) => parts[depth - 1] !== 'node_modules');
  return depths.map((depth) => [...parts.slice(0, depth), 'node_modules', name].join('/'));
}

/** The platform that a package's name tells, or undefined when it tells none. */
function platformOf(name) {
  const words = name.toLowerCase().split(/[-/@.]/);
  const os = words.map((word) => systems.get(word)).find(Boolean);
  const cpu = words.map((word) => processors.get(/^armv?\d?(hf|l)?$/.test(word) ? 'arm' : word)).find(Boolean);
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : words.some((word) => word.startsWith('gnu')) ? 'glibc' : undefined;
  return os || cpu ? { os, cpu, libc } : undefined;
}

/** Entries for all optional packages that the lockfile names and does not hold, and what could not be told. */
function missingEntries(packages) {
  const entries = new Map();
  const problems = [];
  for (const [location, parent] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      if (placesOf(name, location).some((place) => place in packages)) continue;
      const platform = platformOf(name);
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        problems.push(`${name}@${version}, wanted by ${location || 'package.json'}, is not an exact version`);
      else if (platform === undefined) problems.push(`${name}: its name does not tell its platform`);
      else entries.set(`node_modules/${name}`, entryOf(version, platform, parent));
    }
  }
  return { entries, problems };
}

/** npm's own order of fields, so that its next write changes nothing. */
function entryOf(version, { os, cpu, libc }, parent) {
  const before = { version, ...(cpu && { cpu: [cpu] }), ...(parent.dev && { dev: true }), ...(libc && { libc: [libc] }) };
  return { ...before, optional: true, ...(os && { os: [os] }) };
}

/** Rooms whose package.json says something else than the lockfile; `npm ci` forgives a dependency that was taken out. */
function staleRooms(packages) {
  const said = (pkg) => JSON.stringify(['dependencies', 'devDependencies', 'optionalDependencies'].map((kind) => sorted(pkg[kind] ?? {})));
  const rooms = Object.keys(packages).filter((location) => !location.includes('node_modules'));
  return rooms.filter((room) => said(packages[room]) !== said(JSON.parse(readFileSync(join(root, room, 'package.json'), 'utf8'))));
}

const sorted = (record) => Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));

const lock = JSON.parse(readFileSync(lockPath, 'utf8'));
const { entries, problems } = missingEntries(lock.packages);
for (const problem of problems) console.error(`package-lock.json: ${problem}; add it by hand.`);
if (problems.length > 0) process.exitCode = 1;

if (process.argv.includes('--check')) {
  for (const place of entries.keys()) console.error(`package-lock.json lacks ${place}`);
  const stale = staleRooms(lock.packages);
  for (const room of stale) console.error(`package-lock.json is older than ${join(room, 'package.json')}`);
  if (entries.size + stale.length > 0) {
    console.error('`npm run lock` brings it up to date.');
    process.exitCode = 1;
  }
} else if (entries.size > 0) {
  const all = Object.entries(lock.packages).concat([...entries]);
  lock.packages = Object.fromEntries(all.sort(([a], [b]) => a.localeCompare(b, 'en')));
  writeFileSync(lockPath, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: ${entries.size} platform packages added.`);
} else {
  console.log('package-lock.json is complete.');
}
