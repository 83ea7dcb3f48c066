// What breaks in one run: a list drawn from the seed before it begins, each fault with everything it needs, so that any of
// them can be left out and the others stay as they are.
import type { Random } from '@weft/runtime/random.ts';

export const faultKinds = [
  'kill-node',
  'crash-after-commit',
  'crash-after-publish',
  'freeze-node',
  'freeze-cell',
  'drain-node',
  'stop-cell',
  'cut-out',
  'cut-in',
  'cut-off',
  'cut-regions',
  'lossy',
  'duplicating',
  'late',
  'drop-pushes',
  'leave-out-push',
  'stop-broker',
  'wipe-broker',
  'lose-stream',
  'power-cut',
  'change-leader',
  'full-stream',
  'stop-sql',
  'stop-sql-and-nodes',
  'sql-before-commit',
  'sql-after-commit',
  'sql-reads',
  'step-clock',
  'steal-leases',
  'slow-reader',
  'sever-client',
  'reset-client',
  'kill-client',
  'freeze-client',
  'lie',
] as const;
/** Drawn by itself, so that it moved no draw of the others. */
export const restoreKind = 'restore-cell';
export type FaultKind = (typeof faultKinds)[number] | typeof restoreKind;

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly forMs: number;
  /** Index of the cell, of its node, of another cell, of a person. */
  readonly cell: number;
  readonly node: number;
  readonly other: number;
  readonly person: number;
  /** How much, 0 to 1. */
  readonly strength: number;
}

export interface Extent {
  readonly cells: number;
  readonly nodes: number;
  readonly people: number;
  readonly chaosMs: number;
  readonly faultsMax: number;
}

/** Each run has its own few kinds of faults, and its own number of them. */
export function drawFaults(random: Random, extent: Extent): Fault[] {
  const share = 0.15 + random.next() * 0.6;
  const enabled = faultKinds.filter(() => random.next() < share);
  const many = enabled.length === 0 ? 0 : random.int(extent.faultsMax + 1);
  const faults = Array.from({ length: many }, (): Fault => {
    const cell = random.int(extent.cells);
    return {
      kind: enabled[random.int(enabled.length)] as FaultKind,
      atMs: random.int(extent.chaosMs),
      forMs: 200 + random.int(random.next() < 0.2 ? extent.chaosMs : 4_000),
      cell,
      node: random.int(extent.nodes),
      other: (cell + 1 + random.int(Math.max(extent.cells - 1, 1))) % extent.cells,
      person: random.int(extent.people),
      strength: random.next(),
    };
  });
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/**
 * Share of runs in which cells are restored from backups: a restore colours all of its run, so that most go without. Where more are
 * asked for, those of the smaller share are among them, each the same run.
 */
export const restoringShare = 0.1;
export const moreRestoringShare = 0.3;
/** Restores of one run at most. */
const restoresMax = 2;
/** Earlier there is nothing to lose. */
const restoreMsMin = 2_000;

/** From numbers of its own. A restore takes place at its time; how old the backup is then, is its strength. */
export function drawRestores(random: Random, { share, ...extent }: Extent & { readonly share: number }): Fault[] {
  const many = random.next() < share ? 1 + random.int(restoresMax) : 0;
  return Array.from(
    { length: many },
    (): Fault => ({
      kind: restoreKind,
      atMs: restoreMsMin + random.int(extent.chaosMs - restoreMsMin),
      forMs: 200 + random.int(2_000),
      cell: random.int(extent.cells),
      node: 0,
      other: 0,
      person: random.int(extent.people),
      strength: random.next(),
    }),
  );
}

/** When the backup was taken that a restore goes back to. */
export const backupMsOf = ({ atMs, strength }: Fault): number => Math.floor(atMs * (1 - strength));

const places: Partial<Record<FaultKind, (f: Fault) => string>> = {
  'freeze-cell': (f) => `cell ${f.cell + 1}`,
  'stop-cell': (f) => `cell ${f.cell + 1}`,
  'cut-out': (f) => `cell ${f.cell + 1} to its hub`,
  'cut-in': (f) => `the hub to cell ${f.cell + 1}`,
  'cut-off': (f) => `cell ${f.cell + 1}`,
  'cut-regions': (f) => (f.strength < 0.5 ? 'both ways' : 'one way'),
  lossy: (f) => percent(f.strength * 0.2),
  duplicating: (f) => percent(f.strength * 0.3),
  late: (f) => percent(f.strength * 0.4),
  'drop-pushes': (f) => percent(f.strength),
  'sql-before-commit': (f) => percent(f.strength * 0.2),
  'sql-after-commit': (f) => percent(f.strength * 0.2),
  'sql-reads': (f) => percent(f.strength * 0.1),
  'slow-reader': (f) => `person ${f.person + 1}`,
  'sever-client': (f) => `person ${f.person + 1}`,
  'reset-client': (f) => `person ${f.person + 1}`,
  'kill-client': (f) => `person ${f.person + 1}`,
  'freeze-client': (f) => `person ${f.person + 1}`,
  'restore-cell': (f) => `cell ${f.cell + 1}, to its backup of ${(backupMsOf(f) / 1_000).toFixed(1)} s`,
  lie: (f) => `cell ${f.other + 1} about a log of cell ${f.cell + 1}`,
};

const percent = (share: number): string => `${Math.round(share * 100)} %`;

export function describeFault(fault: Fault): string {
  const place = places[fault.kind]?.(fault) ?? `cell ${fault.cell + 1} node ${fault.node + 1}`;
  return `${(fault.atMs / 1_000).toFixed(1)} s for ${(fault.forMs / 1_000).toFixed(1)} s: ${fault.kind} (${place})`;
}
