// Authenticated connections that do nothing: the bench looks at the servers' memory between begin and end.

import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { inParallel, LoadClient } from './load-client.ts';
import type { IdleJob, LoadResult, Marks } from './load-job.ts';
import { Stopwatch } from './stopwatch.ts';

export async function runIdle(job: IdleJob, marks: Marks): Promise<LoadResult> {
  const latency = new Latency();
  let closed = 0;
  const clients = await inParallel(job.users, benchLimits.connectsInFlightMax, async (user) => {
    const start = performance.now();
    const client = await LoadClient.connect(user, {
      accepted: () => {},
      pushed: () => {},
      closed: () => {
        closed += 1;
      },
    });
    latency.add(performance.now() - start);
    return client;
  });
  marks.begin();
  const watch = new Stopwatch();
  await new Promise((resolve) => setTimeout(resolve, job.idleMs));
  const { ms, ownCpuMs } = watch.read();
  const missing = closed;
  marks.end();
  // The bench reads the memory while everyone is still there.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  for (const client of clients) client.close();
  return { done: clients.length - missing, ms, ownCpuMs, latency: latency.table(), missing, disordered: 0, refused: 0, faults: {} };
}
