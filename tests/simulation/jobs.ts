// Seeds on several processes: each takes the next few until there are none, or until one finds something wrong.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { handoversAndTakeovers } from './owner-changes.ts';
import { runSeeds, type SeedSum } from './run-seeds.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
/** So many seeds at a time: small enough that processes end together, and that one that found something stops the others soon. */
const chunkSeeds = 25;
/**
 * A run makes much that dies at once: with Node's own 16 MiB for it a fifth of the CPU goes into collecting it. With this from the start
 * it takes about a fifth less than where the room grows to 64 MiB; a process may need 400 MiB.
 */
export const roomForTheYoung = ['--max-semi-space-size=128', '--min-semi-space-size=128'] as const;

interface Chunk {
  readonly from: number;
  readonly to: number;
  readonly restores: boolean | undefined;
  readonly owners: boolean;
}

export interface JobsRun extends Chunk {
  readonly jobs: number;
  /** After each few seeds of any process. */
  readonly ran: (sum: SeedSum) => void;
}

/** The first violation, if there is one. */
export async function runJobs({ from, to, jobs, restores, owners, ran }: JobsRun): Promise<void> {
  let next = from;
  const take = (): Chunk | undefined => {
    if (next > to) return undefined;
    const chunk = { restores, owners, from: next, to: Math.min(to, next + chunkSeeds - 1) };
    next = chunk.to + 1;
    return chunk;
  };
  const told = (sum: SeedSum): void => {
    if (sum.violation) next = to + 1;
    ran(sum);
  };
  await Promise.all(Array.from({ length: jobs }, () => runOne(take, told)));
}

function runOne(take: () => Chunk | undefined, told: (sum: SeedSum) => void): Promise<void> {
  const child = fork(main, ['--worker'], { execArgv: [...roomForTheYoung] });
  const give = (): void => {
    const chunk = take();
    if (chunk) child.send(chunk);
    else child.disconnect();
  };
  return new Promise((resolve, reject) => {
    child.on('message', (sum) => {
      told(sum as SeedSum);
      give();
    });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a process of the simulation ended with ${code}`))));
    give();
  });
}

/** The other side: runs what it is given until nothing more comes. */
export function work(): void {
  process.on('message', (chunk: Chunk) => {
    runSeeds({ ...chunk, owners: chunk.owners ? handoversAndTakeovers : undefined }).then(
      (sum) => process.send?.(sum),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}
