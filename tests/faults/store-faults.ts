// Stores that are full, damaged, wiped, locked or out of connections.
import { closeSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault, Heal, Scene } from './fault.ts';
import { SmallDisk } from './small-disk.ts';

const hit = 'us-1';

/** Moves a process's folder onto a small disk, fills it, and gives the room back; the disk stays until the process can leave it. */
const fullDisk =
  (process: string, megabytes: number) =>
  async ({ stage, note }: Scene): Promise<Heal> => {
    const { fabric } = stage;
    const dir = join(fabric.dataDir, process);
    await fabric.stop(process);
    const disk = SmallDisk.under(dir, megabytes);
    await fabric.start(process);
    disk.fill();
    return async () => {
      disk.relieve();
      await fabric.start(process);
      note(`${process} had no room on its disk`);
      // Off the small disk before the fabric stops, or its folder could not be removed.
      await fabric.stop(process);
      disk.leave();
      await fabric.start(process);
    };
  };

/** Overwrites the middle of every block file of a cell's inbound stream. */
async function damageStream({ stage, note }: Scene): Promise<Heal> {
  const { fabric } = stage;
  await fabric.stop(`nats-${hit}`);
  const files = blockFiles(join(fabric.dataDir, `nats-${hit}`));
  for (const file of files) {
    const handle = openSync(file, 'r+');
    writeSync(handle, Buffer.alloc(4_096, 0xa5), 0, 4_096, Math.floor(statSync(file).size / 2));
    closeSync(handle);
  }
  note(`${files.length} block files damaged`);
  return () => fabric.start(`nats-${hit}`);
}

const blockFiles = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.blk'))
    .map((name) => join(dir, name));

async function wipeStream({ stage }: Scene): Promise<undefined> {
  await stage.fabric.wipeJetStream(hit);
}

/** Somebody holds the row that every write of a lane locks. */
async function lockPileUp({ stage }: Scene): Promise<Heal> {
  const session = await stage.session(hit);
  await session.query('begin');
  await session.query('select 1 from lanes for update');
  return async () => {
    await session.query('rollback').catch(() => undefined);
    session[Symbol.dispose]();
  };
}

/** All sessions of the database end, again and again: nodes come back to 40001's cousins, lost connections before and after commits. */
async function sessionsEnded({ stage, note }: Scene): Promise<undefined> {
  let ended = 0;
  for (let round = 0; round < 20; round++) {
    const text =
      "select count(pg_terminate_backend(pid)) as n from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'";
    ended += Number((await stage.sql(hit, text))[0]?.n ?? 0);
  }
  note(`${ended} sessions ended`);
}

const plain = { needs: [], suffers: [hit], aims: ['I12', 'I14', 'I15'] } as const;

export const storeFaults: readonly Fault[] = [
  {
    ...plain,
    id: 'F10',
    variant: 'jetstream',
    text: 'the disk of a cell’s JetStream is full',
    needs: ['loop-disk'],
    holdMs: 6_000,
    inject: fullDisk(`nats-${hit}`, 64),
  },
  {
    ...plain,
    id: 'F10',
    variant: 'postgres',
    text: 'the disk of a PostgreSQL is full',
    needs: ['loop-disk'],
    holdMs: 6_000,
    inject: fullDisk(`postgres-${hit}`, 512),
  },
  {
    ...plain,
    id: 'F14',
    variant: 'damage',
    text: 'block files of a cell’s inbound stream are damaged',
    holdMs: 1_000,
    inject: damageStream,
  },
  { ...plain, id: 'F15', variant: 'wipe', text: 'a cell’s whole JetStream folder is wiped', inject: wipeStream },
  { ...plain, id: 'F25', variant: 'locks', text: 'somebody holds the locks that every write needs', inject: lockPileUp },
  { ...plain, id: 'F25', variant: 'sessions', text: 'all sessions of a database end, twenty times', inject: sessionsEnded },
];
