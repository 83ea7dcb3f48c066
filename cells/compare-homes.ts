// After a restore nobody is served before the list of homes was compared with the directory (R25): the store may hold people
// who moved away since, and lack people who signed up since. Who is served is the directory's word in any case; here the
// node makes sure that it has that word, and says what was lost.
import type { Clock } from '@weft/runtime/clock.ts';
import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import type { Log } from '@weft/runtime/log.ts';
import type pg from 'pg';
import { cellLimits } from './limits.ts';
import type { Query } from './store/entries-table.ts';
import { noteHomesCompared, readUserIds } from './store/life-table.ts';

export interface CompareHomesOptions {
  readonly pool: pg.Pool;
  readonly replica: DirectoryReplica;
  readonly clock: Clock;
  readonly log: Log;
  readonly cell: number;
  readonly generation: number;
  readonly signal: AbortSignal | undefined;
}

/** Waits for the directory as long as it takes. */
export async function compareHomes(options: CompareHomesOptions): Promise<void> {
  const { pool, replica, clock, log, cell, generation, signal } = options;
  const query: Query = (statement) => pool.query(statement);
  if (!replica.fresh) log.warn('the store was restored: nobody is served until the directory has answered');
  while (!replica.fresh) await clock.sleep(cellLimits.homesPollMs, signal);
  const here = new Set<bigint>();
  let elsewhere = 0;
  for (let after = 0n; ; ) {
    const page = await readUserIds(query, { after, limit: cellLimits.homesPageRows });
    for (const user of page) {
      here.add(user);
      if (replica.homeOf(user) !== cell) elsewhere += 1;
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last;
  }
  const lost = replica.usersAt(cell).filter((user) => !here.has(user));
  if (elsewhere > 0 || lost.length > 0)
    log.error({ elsewhere, lost: lost.length, some: lost.slice(0, 10).map(String) }, 'people moved away, or signed up, after the backup');
  await noteHomesCompared(query, generation);
}
