// Reading backwards: a group's long log, each reader walks from the head to the beginning page by page while messages arrive.

import { inParallel } from '@weft/local/in-parallel.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { EntryIds, LoadClient } from './load-client.ts';
import type { HistoryJob, LoadResult, Marks } from './load-job.ts';
import { pause } from './pace.ts';
import { Stopwatch } from './stopwatch.ts';
import { AppendTemplate, whole } from './wire.ts';

interface Book {
  readonly log: bigint;
  readonly writers: readonly LoadClient[];
  readonly template: AppendTemplate;
  readonly entryIds: EntryIds;
  readonly state: { sent: number; accepted: number; failed: number; fillTo: number };
}

/** A group with all writers and readers, filled with `messages` texts by the writers only. */
async function fill(job: HistoryJob): Promise<Book> {
  const entryIds = new EntryIds(Date.now());
  const state = { sent: 0, accepted: 0, failed: 0, fillTo: job.messages };
  let onAccepted = (_writer: number): void => {};
  const writers = await inParallel(job.writers, benchLimits.connectsInFlightMax, (user, at) =>
    LoadClient.connect(user, {
      accepted: () => {
        state.accepted += 1;
        onAccepted(at);
      },
      pushed: () => {},
      failed: () => {
        state.failed += 1;
      },
    }),
  );
  const [creator] = writers;
  if (creator === undefined) throw new RangeError('a group without writers');
  const members = [...job.writers.slice(1), ...job.readers].map(({ user }) => BigInt(user));
  const { log } = await creator.ask(
    { $case: 'createGroup', value: { clientEntryId: whole(entryIds.take()), title: 'history', members, membersMax: 0 } },
    'opened',
  );
  const template = new AppendTemplate({ log }, 'x'.repeat(benchLimits.bodyBytes));
  const send = (at: number): void => {
    if (state.sent >= state.fillTo) return;
    state.sent += 1;
    writers[at]?.append(template, entryIds.take());
  };
  onAccepted = send;
  for (let n = 0; n < 16; n++) for (let at = 0; at < writers.length; at++) send(at);
  const until = performance.now() + benchLimits.scenarioMsMax;
  while (state.accepted + state.failed < job.messages && performance.now() < until) await pause(20);
  onAccepted = () => {};
  return { log, writers, template, entryIds, state };
}

class Reader {
  readonly #client: LoadClient;
  readonly #log: bigint;
  readonly #job: HistoryJob;
  pages = 0;
  disordered = 0;
  /** Whole walks whose entries were not each seq once. */
  missing = 0;

  constructor(client: LoadClient, log: bigint, job: HistoryJob) {
    this.#client = client;
    this.#log = log;
    this.#job = job;
  }

  /** Walks again and again until told to stop. */
  async walk(running: () => boolean, measured: (ms: number) => void): Promise<void> {
    let before = 0;
    while (running()) {
      const start = performance.now();
      const page = await this.#client.readSeqs({ log: this.#log, from: 0n, before: BigInt(before), limit: this.#job.pageEntries });
      measured(performance.now() - start);
      this.pages += 1;
      if (page.entries === 0) {
        before = 0;
        continue;
      }
      if (!page.isDense) this.disordered += 1;
      if (before !== 0 && page.last !== before - 1) this.missing += 1;
      before = page.end || page.first <= 1 ? 0 : page.first;
    }
  }
}

export async function runHistory(job: HistoryJob, marks: Marks): Promise<LoadResult> {
  const book = await fill(job);
  const clients = await inParallel(job.readers, benchLimits.connectsInFlightMax, (user) =>
    LoadClient.connect(user, { accepted: () => {}, pushed: () => {} }),
  );
  const readers = clients.map((client) => new Reader(client, book.log, job));
  const latency = new Latency();
  let running = true;
  let measuring = false;
  let at = 0;
  const arriving = setInterval(
    () => book.writers[at++ % book.writers.length]?.append(book.template, book.entryIds.take()),
    1000 / job.perSecond,
  );
  const walks = readers.map((reader) =>
    reader.walk(
      () => running,
      (ms) => {
        if (measuring) latency.add(ms);
      },
    ),
  );
  await pause(job.warmUpMs);
  marks.begin();
  const watch = new Stopwatch();
  measuring = true;
  await pause(job.measuredMs);
  measuring = false;
  const { ms, ownCpuMs } = watch.read();
  marks.end();
  running = false;
  clearInterval(arriving);
  await Promise.all(walks);
  const faults: Record<string, number> = {};
  for (const client of [...book.writers, ...clients]) {
    for (const [code, count] of client.faults) faults[code] = (faults[code] ?? 0) + count;
    client.close();
  }
  const sum = (of: (reader: Reader) => number): number => readers.reduce((total, reader) => total + of(reader), 0);
  const table = latency.table();
  return {
    done: table.count,
    ms,
    ownCpuMs,
    latency: table,
    missing: sum((r) => r.missing) + (book.state.fillTo - book.state.accepted > 0 ? book.state.failed : 0),
    disordered: sum((r) => r.disordered),
    refused: book.state.failed,
    faults,
  };
}
