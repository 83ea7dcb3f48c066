// CPU and memory of the server processes from /proc: every process of the fabric with all its children (PostgreSQL has one
// per connection). Linux only; elsewhere the numbers are absent and the table says so.

import { readdirSync, readFileSync } from 'node:fs';
import type { BenchServer } from './fabric.ts';

interface ProcessStat {
  readonly parent: number;
  /** Own and of reaped children, clock ticks. */
  readonly ticks: number;
}

/** USER_HZ: 100 on every Linux this runs on. */
const msPerTick = 10;

function statOf(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [parent = 0, ticks] = [fields[1], [11, 12, 13, 14].reduce((sum, at) => sum + (fields[at] ?? 0), 0)];
    return { parent, ticks };
  } catch {
    // It ended between the listing and the reading.
    return undefined;
  }
}

/** Every process that is one of the servers or below it, with the name of that server. */
function family(servers: readonly BenchServer[]): Map<number, { name: string; ticks: number }> {
  const all = new Map<number, ProcessStat>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statOf(Number(entry));
    if (stat !== undefined) all.set(Number(entry), stat);
  }
  const names = new Map(servers.map(({ name, pid }) => [pid, name]));
  const found = new Map<number, { name: string; ticks: number }>();
  for (const [pid, { ticks }] of all) {
    const name = serverAbove(pid, names, all);
    if (name !== undefined) found.set(pid, { name, ticks });
  }
  return found;
}

function serverAbove(pid: number, names: ReadonlyMap<number, string>, all: ReadonlyMap<number, ProcessStat>): string | undefined {
  let at: number | undefined = pid;
  for (let depth = 0; at !== undefined && at > 1 && depth < 16; depth++) {
    const name = names.get(at);
    if (name !== undefined) return name;
    at = all.get(at)?.parent;
  }
  return undefined;
}

export const canMeasure = process.platform === 'linux';

/** CPU so far, milliseconds, by server; children that ended are counted in their parent. */
export function cpuMs(servers: readonly BenchServer[]): Map<string, number> {
  const sums = new Map<string, number>();
  if (!canMeasure) return sums;
  for (const { name, ticks } of family(servers).values()) sums.set(name, (sums.get(name) ?? 0) + ticks * msPerTick);
  return sums;
}

/** Proportional set size, KiB, by server: shared pages count once. Resident size where the kernel keeps that to itself. */
export function memoryKib(servers: readonly BenchServer[]): Map<string, number> {
  const sums = new Map<string, number>();
  if (!canMeasure) return sums;
  for (const [pid, { name }] of family(servers)) sums.set(name, (sums.get(name) ?? 0) + processKib(pid));
  return sums;
}

function processKib(pid: number): number {
  for (const [file, pattern] of [
    ['smaps_rollup', /^Pss:\s+(\d+)/m],
    ['status', /^VmRSS:\s+(\d+)/m],
  ] as const) {
    try {
      const kib = pattern.exec(readFileSync(`/proc/${pid}/${file}`, 'latin1'))?.[1];
      if (kib !== undefined) return Number(kib);
    } catch {
      // Not ours to read, or gone.
    }
  }
  return 0;
}

/** b − a by server, and their sum. */
export function difference(
  a: ReadonlyMap<string, number>,
  b: ReadonlyMap<string, number>,
): { readonly sum: number; readonly byServer: Record<string, number> } {
  const byServer: Record<string, number> = {};
  let sum = 0;
  for (const [name, value] of b) {
    const delta = value - (a.get(name) ?? 0);
    if (delta !== 0) byServer[name] = delta;
    sum += delta;
  }
  return { sum, byServer };
}
