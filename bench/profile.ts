// Where the time of a node goes: its CPU profiles (V8's .cpuprofile), summed by function, idle time left out.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Hot {
  readonly where: string;
  /** Milliseconds spent in the function itself. */
  readonly ms: number;
  /** Of all time that was not idle. */
  readonly share: number;
}

/** The functions with the most own time, most first. */
export function hottest({ nodes, samples, timeDeltas }: CpuProfile, most: number): Hot[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const byName = new Map<string, number>();
  let busy = 0;
  for (const [at, id] of samples.entries()) {
    const name = names.get(id) ?? '(unknown)';
    const us = timeDeltas[at] ?? 0;
    if (name === '(idle)') continue;
    busy += us;
    byName.set(name, (byName.get(name) ?? 0) + us);
  }
  const sorted = [...byName].sort(([, a], [, b]) => b - a).slice(0, most);
  return sorted.map(([where, us]) => ({ where, ms: Math.round(us / 1_000), share: us / busy }));
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (functionName.startsWith('(')) return functionName;
  const file = url
    .replace(/^file:\/\//, '')
    .split('/')
    .slice(-2)
    .join('/');
  return `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`;
}

/** Lines for people: the hottest functions of every profile in a folder. */
export function describeProfiles(folder: string, most = 25): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .sort()
    .flatMap((name) => {
      const profile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile;
      return [
        name,
        ...hottest(profile, most).map(
          ({ where, ms, share }) => `  ${(100 * share).toFixed(1).padStart(5)} % ${String(ms).padStart(7)} ms  ${where}`,
        ),
      ];
    });
}
