// Which life of its store a cell is in (R25). A restore from a backup takes the store back, and what was given out since
// must not be given again; so the generation is kept in three places: in SQL, in the directory's cell table, and in a file of
// each node. A store that is behind one of the other two was restored, and a new generation begins before anything is served.
//
// While a node runs, each session it opens and a beat every two seconds make sure that the store is still the same one: the
// beat counts up in SQL first and in the file after, so a store behind the file has lost commits. A node that finds another
// store, or another life, ends at once and starts anew. The last beat is taken when the node stops in order. A store that lost
// commits younger than the last beat is not noticed here, but log by log, as other cells turn out to have more (hearsay.ts).
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { z } from 'zod';
import { cellLimits } from './limits.ts';
import { raiseLife, readLife, readSystemId, type StoredLife, takeBeat } from './store/life-table.ts';

/** What is remembered outside the store. */
export interface RememberedLife {
  readonly generation: number;
  readonly beat: number;
  /** The database server's own id; empty where it has none. */
  readonly system: string;
}

export type Verdict = { readonly kind: 'same' } | { readonly kind: 'restored'; readonly why: string; readonly generation: number };

/** Whether the store found is the one that was left. `directory`: the generation published last, 0 when it is not known. */
export function judgeLife(
  found: { readonly generation: number; readonly beat: number; readonly system: string },
  remembered: RememberedLife | undefined,
  directory: number,
): Verdict {
  const highest = Math.max(found.generation, remembered?.generation ?? 0, directory);
  const restored = (why: string): Verdict => ({ kind: 'restored', why, generation: highest + 1 });
  if (directory > found.generation) return restored('the directory knows a later generation of this store');
  if (!remembered) return { kind: 'same' };
  if (remembered.generation > found.generation) return restored('a later generation of this store was in use here');
  // Somebody else has noticed, and begun a new life.
  if (remembered.generation < found.generation) return { kind: 'same' };
  if (remembered.beat > found.beat) return restored('the store has lost commits');
  if (remembered.system !== '' && found.system !== '' && remembered.system !== found.system)
    return restored('the store is on another database server');
  return { kind: 'same' };
}

export interface StoreLifeOptions {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly dataDir: string;
  readonly cell: number;
  /** Generation in the directory's cell table, 0 when it is not known. */
  readonly directory: () => number;
  /** This process must not go on: what it holds belongs to another life of the store. */
  readonly fenced: (why: string) => void;
}

const fileShape = z.object({ generation: z.number().int(), beat: z.number().int(), system: z.string() });

export class StoreLife implements AsyncDisposable {
  readonly life: StoredLife;
  readonly #options: StoreLifeOptions;
  readonly #system: string;
  #beat: number;
  #beating: Promise<void> = Promise.resolve();
  readonly #timer: Disposable;

  private constructor(options: StoreLifeOptions, life: StoredLife, system: string) {
    this.#options = options;
    this.life = life;
    this.#system = system;
    this.#beat = life.beat;
    this.#timer = options.clock.every(cellLimits.lifeBeatMs, () => {
      this.#beating = this.#beating.then(() => this.#takeBeat());
    });
  }

  /** Looks at the store, and begins a new generation where it was restored. */
  static async open(options: StoreLifeOptions): Promise<StoreLife> {
    const { pool, log, cell, clock } = options;
    const query = queryOf(pool);
    const system = await readSystemId(query);
    const found = await readLife(query);
    const remembered = await readFileOf(options.dataDir);
    const verdict = judgeLife({ ...found, system }, remembered, options.directory());
    if (verdict.kind === 'restored') {
      const { generation, why } = verdict;
      log.error({ why, generation, found, remembered }, 'the store was restored: a new generation begins');
      const to = { cell, generation, beat: remembered?.beat ?? 0, nowMs: clock.now() };
      await inTransaction(pool, (client) => raiseLife((statement) => client.query(statement), to));
    }
    const life = verdict.kind === 'restored' ? await readLife(query) : found;
    await writeFileOf(options.dataDir, { generation: life.generation, beat: life.beat, system });
    return new StoreLife(options, life, system);
  }

  /** For each new session, before anything goes down it. Throws when it leads to another life of the store. */
  readonly check = async (client: pg.Client): Promise<void> => {
    // A beat may be counted while this session's answer is under way: the store has to have what was known when it was asked.
    const known = this.#beat;
    const found = await readLife((statement) => client.query(statement));
    if (found.generation === this.life.generation && found.beat >= known) return;
    this.#fence('a session leads to another life of the store');
    throw new Error('another life of the store');
  };

  /** The directory answered that it knows a later life than this one. */
  readonly hearDirectory = (generation: number): void => {
    if (generation <= this.life.generation) return;
    writeFileOf(this.#options.dataDir, { generation, beat: this.#beat, system: this.#system }).then(
      () => this.#fence('the directory knows a later generation'),
      () => this.#fence('the directory knows a later generation'),
    );
  };

  readonly fence = (why: string): void => this.#fence(why);

  /** The last beat comes after the last commit: whatever is restored while no node runs is behind it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    await this.#beating;
    await this.#takeBeat();
  }

  #fence(why: string): void {
    this.#options.log.fatal({ why, generation: this.life.generation }, 'this node ends: its store is in another life');
    this.#options.fenced(why);
  }

  /** SQL first, then the file: the file is never ahead of a store that lost nothing. */
  async #takeBeat(): Promise<void> {
    const { pool, dataDir, log } = this.#options;
    const { generation } = this.life;
    try {
      const beat = await takeBeat(queryOf(pool), { generation, beat: this.#beat });
      if (beat === undefined) return this.#fence('the store is not the one it was');
      this.#beat = beat;
      await writeFileOf(dataDir, { generation, beat, system: this.#system });
    } catch (error) {
      log.debug({ err: error }, 'no beat of the store; trying again');
    }
  }
}

const queryOf =
  (pool: pg.Pool) =>
  (statement: pg.QueryConfig): Promise<pg.QueryResult> =>
    pool.query(statement);

const pathIn = (dataDir: string): string => join(dataDir, 'store-life.json');

async function readFileOf(dataDir: string): Promise<RememberedLife | undefined> {
  try {
    return fileShape.parse(JSON.parse(await readFile(pathIn(dataDir), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`${pathIn(dataDir)} cannot be read: it says whether the store was restored`, { cause: error });
  }
}

/** Replaced whole; synced, since a file that is older than it was could hide a restore. */
async function writeFileOf(dataDir: string, life: RememberedLife): Promise<void> {
  const path = pathIn(dataDir);
  await mkdir(dirname(path), { recursive: true });
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify(life));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
}
