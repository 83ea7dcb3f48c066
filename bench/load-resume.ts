// The resume storm: everyone is cut at once, one message for each arrives meanwhile, everyone comes back at once with
// cursor and digest, asks for what changed, and holds the missed message. The time counts until the last one has it.

import { inParallel } from '@weft/local/in-parallel.ts';
import { type Digest, digestValue, moveHead } from '@weft/proto/heads-digest.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { EntryIds, LoadClient, type LoadUser, type ResumePoint } from './load-client.ts';
import type { LoadResult, Marks, ResumeJob } from './load-job.ts';
import { Stopwatch } from './stopwatch.ts';
import { whole } from './wire.ts';

/** What one person holds when the line is cut. */
interface Held {
  readonly user: LoadUser;
  readonly writer: LoadClient;
  readonly log: bigint;
  readonly epoch: bigint;
  readonly seq: number;
  readonly point: ResumePoint;
}

const silent = { accepted: (): void => {}, pushed: (): void => {} };

/** Sends one text to one person and waits for its acceptance; gives its position. */
async function write(writer: LoadClient, peer: bigint, entryIds: EntryIds): Promise<{ log: bigint; epoch: bigint; seq: number }> {
  const value = {
    target: { $case: 'peer', value: peer },
    clientEntryId: whole(entryIds.take()),
    followedBy: [] as bigint[],
    content: { $case: 'text', value: 'm'.repeat(benchLimits.bodyBytes) },
  } as const;
  const { log, epoch, seq } = await writer.ask({ $case: 'append', value }, 'accepted');
  return { log, epoch, seq: Number(seq) };
}

export async function runResume(job: ResumeJob, marks: Marks): Promise<LoadResult> {
  const entryIds = new EntryIds(Date.now());
  const writers = await inParallel(job.writers, benchLimits.connectsInFlightMax, (user) => LoadClient.connect(user, silent));
  const writerOf = (at: number): LoadClient => writers[at % writers.length] as LoadClient;
  const held = await inParallel(job.users, 32, async (user, at): Promise<Held> => {
    const writer = writerOf(at);
    const position = await write(writer, BigInt(user.user), entryIds);
    const client = await LoadClient.connect(user, silent);
    const head = client.welcome.heads.find(({ log }) => log === position.log);
    if (head === undefined) throw new Error(`the Welcome of ${user.user} lacks the head of ${position.log}`);
    // From here on nothing comes until the cut: this is exactly what the person holds.
    const point = { cursor: client.welcome.cursor, digest: client.welcome.digest };
    client.cut();
    return { user, writer, log: position.log, epoch: head.epoch, seq: Number(head.seq), point };
  });
  await inParallel(held, 64, ({ user, writer }) => write(writer, BigInt(user.user), entryIds));
  marks.begin();
  const watch = new Stopwatch();
  const latency = new Latency();
  const back = await inParallel(held, benchLimits.resumesInFlightMax, (person) => comeBack(person, latency));
  const { ms, ownCpuMs } = watch.read();
  marks.end();
  for (const client of [...writers, ...back.map((one) => one.client)]) client.close();
  const lacking = back.flatMap(({ lacks }) => lacks ?? []);
  const faults = Object.fromEntries([...new Set(lacking)].map((what) => [what, lacking.filter((each) => each === what).length]));
  return { done: back.length, ms, ownCpuMs, latency: latency.table(), missing: lacking.length, disordered: 0, refused: 0, faults };
}

async function comeBack(person: Held, latency: Latency): Promise<{ readonly client: LoadClient; readonly lacks: string | undefined }> {
  const start = performance.now();
  const client = await LoadClient.connect(person.user, silent, person.point);
  const page = await client.ask(
    { $case: 'readHistory', value: { log: person.log, from: BigInt(person.seq + 1), before: 0n, limit: 50 } },
    'page',
  );
  latency.add(performance.now() - start);
  const digest: Digest = { hi: Number(person.point.digest >> 32n), lo: Number(person.point.digest & 0xffffffffn) };
  moveHead(digest, person, person.seq, person.seq + 1);
  return { client, lacks: lackOf() };

  function lackOf(): string | undefined {
    const [entry, ...more] = page.entries;
    const changed = client.welcome.heads.find(({ log }) => log === person.log);
    if (Number(changed?.seq) !== person.seq + 1) return `head ${changed ? Number(changed.seq) - person.seq : 'none'} instead of 1`;
    if (entry === undefined || more.length > 0 || Number(entry.seq) !== person.seq + 1)
      return `${page.entries.length} entries instead of 1`;
    return digestValue(digest) === client.welcome.digest ? undefined : 'another digest';
  }
}
