// Keys and passwords of one installation's bus: made once, kept in one file that only its owner reads.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createUser, fromSeed } from '@nats-io/nkeys';

export interface NatsKey {
  /** U…; not secret. */
  readonly publicKey: string;
  /** SU…; secret. */
  readonly seed: string;
}

/** Passwords of one cell's own server. */
export interface CellPasswords {
  readonly fabric: string;
  readonly cell: string;
  readonly sys: string;
}

export interface NatsCredentials {
  /** Password of the system account of every hub. */
  readonly hubSys: string;
  /** Password between hubs. */
  readonly hubLink: string;
  /** With which the directory's owner speaks at a hub. */
  readonly directory: NatsKey;
  /** With which a cell's server speaks at its hub. Throws for a cell that was not named. */
  leaf(cell: string): NatsKey;
  cell(name: string): CellPasswords;
}

interface Kept {
  hubSys: string;
  hubLink: string;
  directorySeed: string;
  leafSeeds: Record<string, string>;
  cells: Record<string, CellPasswords>;
}

/** Reads `<dir>/nats-credentials.json` (mode 0600), and first makes and writes what it lacks for these cells. */
export function natsCredentials(dir: string, cells: readonly string[]): NatsCredentials {
  const file = join(dir, 'nats-credentials.json');
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const kept = completed(before === '' ? {} : (JSON.parse(before) as Partial<Kept>), cells);
  const after = `${JSON.stringify(kept, null, 2)}\n`;
  if (after !== before) write(file, after);
  return view(kept);
}

function completed(found: Partial<Kept>, cells: readonly string[]): Kept {
  const leafSeeds = { ...found.leafSeeds };
  const passwords = { ...found.cells };
  for (const cell of cells) {
    leafSeeds[cell] ??= newSeed();
    passwords[cell] ??= { fabric: newPassword(), cell: newPassword(), sys: newPassword() };
  }
  return {
    hubSys: found.hubSys ?? newPassword(),
    hubLink: found.hubLink ?? newPassword(),
    directorySeed: found.directorySeed ?? newSeed(),
    leafSeeds,
    cells: passwords,
  };
}

function view(kept: Kept): NatsCredentials {
  return {
    hubSys: kept.hubSys,
    hubLink: kept.hubLink,
    directory: keyOf(kept.directorySeed),
    leaf: (cell) => keyOf(known(kept.leafSeeds[cell], cell)),
    cell: (name) => known(kept.cells[name], name),
  };
}

function known<T>(value: T | undefined, cell: string): T {
  if (value === undefined) throw new Error(`there are no credentials for cell ${cell}`);
  return value;
}

/** Beside the old file and renamed, so that a killed start leaves a whole one. */
function write(file: string, text: string): void {
  mkdirSync(join(file, '..'), { recursive: true });
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, text, { mode: 0o600 });
  renameSync(fresh, file);
}

const newPassword = (): string => randomBytes(24).toString('base64url');
const newSeed = (): string => new TextDecoder().decode(createUser().getSeed());
const keyOf = (seed: string): NatsKey => ({ seed, publicKey: fromSeed(new TextEncoder().encode(seed)).getPublicKey() });
