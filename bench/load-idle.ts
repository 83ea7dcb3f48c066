// Authenticated connections that do nothing: the bench looks at the servers' memory between begin and end.

import { inParallel } from '@weft/local/in-parallel.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { LoadClient, type LoadUser } from './load-client.ts';
import type { IdleJob, LoadResult, Marks } from './load-job.ts';
import { pause } from './pace.ts';
import { Stopwatch } from './stopwatch.ts';

export async function runIdle(job: IdleJob, marks: Marks): Promise<LoadResult> {
  const latency = new Latency();
  let closed = 0;
  const connect = (users: readonly LoadUser[]): Promise<LoadClient[]> =>
    inParallel(users, benchLimits.connectsInFlightMax, async (user) => {
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
  for (const client of await connect(job.users.slice(0, benchLimits.idleWarmUpMax))) client.cut();
  await pause(job.idleMs / 10);
  marks.begin();
  await pause(job.holdMs);
  closed = 0;
  const watch = new Stopwatch();
  const clients = await connect(job.users);
  await pause(job.idleMs);
  const { ms, ownCpuMs } = watch.read();
  const missing = closed;
  marks.end();
  // The bench reads the memory while everyone is still there.
  await pause(job.holdMs);
  for (const client of clients) client.close();
  return { done: clients.length - missing, ms, ownCpuMs, latency: latency.table(), missing, disordered: 0, refused: 0, faults: {} };
}
