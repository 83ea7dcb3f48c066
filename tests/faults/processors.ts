// What the machine's processors were short of: how long threads that could run had to wait for one.
import { readFileSync } from 'node:fs';

export interface ProcessorLook {
  readonly atMs: number;
  /** Milliseconds for which the main thread of each process waited for a processor, by pid. */
  readonly waited: ReadonlyMap<number, number>;
  /** Time a hypervisor gave to others, in the kernel's ticks, and all time. */
  readonly stolen: number;
  readonly all: number;
}

export function lookAtProcessors(pids: readonly number[]): ProcessorLook {
  const [, ...ticks] = (read('/proc/stat').split('\n')[0] ?? '').split(/\s+/).map(Number);
  const waited = new Map(pids.map((pid) => [pid, Number(read(`/proc/${pid}/schedstat`).split(' ')[1] ?? Number.NaN) / 1e6]));
  return { atMs: performance.now(), waited, stolen: ticks[7] ?? 0, all: ticks.slice(0, 8).reduce((sum, n) => sum + n, 0) };
}

/** Shares of the time between two looks: a main thread waited for a processor (the mean of them), the hypervisor gave time to others. */
export function shortage(from: ProcessorLook, to: ProcessorLook): { readonly waited: number; readonly stolen: number } {
  const spans = [...to.waited].flatMap(([pid, ms]) => {
    const before = from.waited.get(pid);
    return before === undefined || Number.isNaN(ms - before) ? [] : [(ms - before) / (to.atMs - from.atMs)];
  });
  return {
    waited: spans.reduce((sum, share) => sum + share, 0) / spans.length,
    stolen: (to.stolen - from.stolen) / (to.all - from.all),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
