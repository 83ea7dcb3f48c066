// The load generator: a process of its own that gets one job over IPC, does it and ends.

import { runFanOut } from './load-fan-out.ts';
import { runHistory } from './load-history.ts';
import { runIdle } from './load-idle.ts';
import type { LoadJob, LoadMessage, LoadResult, Marks } from './load-job.ts';
import { runFill, runPairs } from './load-pairs.ts';
import { runResume } from './load-resume.ts';

function run(job: LoadJob, marks: Marks): Promise<LoadResult> {
  switch (job.kind) {
    case 'pairs':
      return runPairs(job, marks);
    case 'fan-out':
      return runFanOut(job, marks);
    case 'idle':
      return runIdle(job, marks);
    case 'resume':
      return runResume(job, marks);
    case 'history':
      return runHistory(job, marks);
    case 'fill':
      return runFill(job, marks);
  }
}

const tell = (message: LoadMessage): Promise<void> =>
  new Promise((resolve, reject) => {
    if (process.send === undefined) throw new Error('load-process.ts is started by the bench');
    process.send(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });

async function serve(job: LoadJob): Promise<void> {
  // A mark that cannot be told means the bench is gone: its absence ends this process by 'disconnect'.
  const mark = (event: 'begin' | 'end'): void => void tell({ event }).catch(() => {});
  try {
    const result = await run(job, { begin: () => mark('begin'), end: () => mark('end') });
    await tell({ event: 'result', result });
  } catch (error) {
    await tell({ event: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
  process.exit(0);
}

if (import.meta.main) {
  process.once('message', (job) => void serve(job as LoadJob));
  process.once('disconnect', () => process.exit(1));
}
