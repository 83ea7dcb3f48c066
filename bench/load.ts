// The bench's side of the load process: starts it, gives it a job, samples at its marks.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { benchLimits } from './limits.ts';
import type { LoadJob, LoadMessage, LoadResult } from './load-job.ts';

/** Called at the beginning and at the end of the measured time. */
export interface Sampling {
  begin(): void;
  end(): void;
}

/** Runs one job in a process of its own. Rejects when it fails, dies or takes longer than scenarioMsMax. */
export function runLoad(job: LoadJob, sampling: Sampling): Promise<LoadResult> {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), benchLimits.scenarioMsMax);
    child.on('message', (message) => {
      const told = message as LoadMessage;
      if (told.event === 'begin') sampling.begin();
      else if (told.event === 'end') sampling.end();
      else if (told.event === 'result') resolve(told.result);
      else reject(new Error(`the load process failed: ${told.error}`));
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the load process ended with ${signal ?? code}`));
    });
    child.send(job);
  });
}
