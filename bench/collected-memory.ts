// Memory of the servers without the garbage: the nodes collect first, where the bench has started them itself.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchServer } from './fabric.ts';
import { benchLimits } from './limits.ts';
import { memoryKib } from './server-cost.ts';

/** What a node's V8 holds after a full collection. */
interface Heap {
  readonly heapUsed: number;
  readonly external: number;
}

export interface CollectedMemory {
  /** Proportional memory of every server, KiB. */
  readonly kib: Map<string, number>;
  /** Live JavaScript objects and buffers of the nodes alone, KiB. */
  readonly heapKib: Map<string, number>;
}

/** `folder`: where the nodes answer; undefined for a fabric that was not started to collect. Throws when a node does not answer. */
export async function collectedMemory(servers: readonly BenchServer[], folder: string | undefined): Promise<CollectedMemory> {
  const heapKib = new Map<string, number>();
  if (folder !== undefined) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const nodes = servers.filter(({ name }) => name.startsWith('node-'));
    for (const { pid } of nodes) process.kill(pid, 'SIGUSR2');
    for (const { name, pid } of nodes) {
      const { heapUsed, external } = await answerOf(join(folder, `${pid}.json`));
      heapKib.set(name, (heapUsed + external) / 1024);
    }
  }
  return { kib: memoryKib(servers), heapKib };
}

async function answerOf(file: string): Promise<Heap> {
  const until = performance.now() + benchLimits.collectMsMax;
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Heap;
    } catch (error) {
      if (performance.now() > until) throw new Error(`no answer in ${file}`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
