// A router is ready before it has heard of every node. Until then it places an account elsewhere than wished, which is right
// in a fabric whose region is away, and a surprise right after a start.
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from './limits.ts';

export interface KnownCellsOptions {
  readonly routers: readonly { readonly name: string; readonly url: string }[];
  /** Names of the cells that have a node. */
  readonly cells: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Resolves when every router knows a node of every cell; rejects after readyMsMax. */
export async function untilCellsAreKnown({ routers, cells, signal }: KnownCellsOptions): Promise<void> {
  const deadline = performance.now() + limits.readyMsMax;
  for (const { name, url } of routers) {
    for (;;) {
      signal?.throwIfAborted();
      const known = await cellsAt(url);
      const unknown = cells.filter((cell) => !known.has(cell));
      if (unknown.length === 0) break;
      if (performance.now() > deadline)
        throw new Error(`${name} has heard of no node of ${unknown.join(', ')} after ${limits.readyMsMax / 1_000} s`);
      await sleep(limits.readyPollMs);
    }
  }
}

/** Cells with a node; none where the router does not answer. */
async function cellsAt(url: string): Promise<Set<string>> {
  try {
    const answer = await fetch(`${url}/v1/cells`, { signal: AbortSignal.timeout(limits.readyMsMax) });
    const { cells } = (await answer.json()) as { readonly cells?: readonly { readonly name: string; readonly urls: readonly string[] }[] };
    return new Set(cells?.filter(({ urls }) => urls.length > 0).map(({ name }) => name));
  } catch {
    return new Set();
  }
}
