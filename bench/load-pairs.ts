// Durable direct messages between pairs: closed loop (a window per sender) or open loop (a rate over all of them).

import { inParallel } from '@weft/local/in-parallel.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { EntryIds, LoadClient, SendTimes } from './load-client.ts';
import type { FillJob, LoadResult, Marks, Pair, PairsJob } from './load-job.ts';
import { paced, pause } from './pace.ts';
import { Stopwatch } from './stopwatch.ts';
import { AppendTemplate, type EntryView } from './wire.ts';

interface Line {
  readonly pair: Pair;
  sender: LoadClient;
  template: AppendTemplate;
  lastSeq: number;
}

/** Everything the pairs of one job share. */
class PairTraffic {
  readonly lines: Line[] = [];
  readonly times = new SendTimes();
  readonly entryIds = new EntryIds(Date.now());
  readonly shown = new Latency();
  readonly answered = new Latency();
  sent = 0;
  decided = 0;
  delivered = 0;
  disordered = 0;
  failed = 0;
  measuring = false;
  /** What an answer lets a sender do. */
  onDecided: (line: Line) => void = () => {};
  readonly clients: LoadClient[] = [];

  async open(pairs: readonly Pair[]): Promise<void> {
    this.lines.push(...(await inParallel(pairs, benchLimits.connectsInFlightMax, (pair) => this.#line(pair))));
  }

  async #line(pair: Pair): Promise<Line> {
    const line: Partial<Line> & { pair: Pair; lastSeq: number } = { pair, lastSeq: 0 };
    const receiver = await LoadClient.connect(pair.to, { accepted: () => {}, pushed: (entry) => this.#pushed(line, entry) });
    const sender = await LoadClient.connect(pair.from, {
      accepted: (entry) => this.#decided(line as Line, entry),
      // The owner of the log is the other cell: what was pending comes back with its seq.
      pushed: (entry) => {
        if (entry.textBytes >= 0) this.#decided(line as Line, entry);
      },
      failed: () => {
        this.failed += 1;
      },
    });
    const { log } = await sender.ask(
      { $case: 'openDirect', value: { peer: BigInt(pair.to.user), clientEntryId: this.#openId() } },
      'opened',
    );
    this.clients.push(sender, receiver);
    return Object.assign(line, { sender, template: new AppendTemplate({ log }, 'x'.repeat(benchLimits.bodyBytes)) });
  }

  #openId(): bigint {
    const { lo, hi } = this.entryIds.take();
    return (BigInt(hi) << 32n) | BigInt(lo);
  }

  send(line: Line): void {
    const entryId = this.entryIds.take();
    this.times.sent(entryId, performance.now());
    this.sent += 1;
    line.sender.append(line.template, entryId);
  }

  #decided(line: Line, entry: EntryView): void {
    this.decided += 1;
    if (this.measuring) this.answered.add(this.times.since(entry, performance.now()));
    this.onDecided(line);
  }

  #pushed(line: { lastSeq: number }, entry: EntryView): void {
    if (entry.textBytes < 0) return;
    if (line.lastSeq !== 0 && entry.seq !== line.lastSeq + 1) {
      if (entry.seq <= line.lastSeq) return;
      this.disordered += 1;
    }
    line.lastSeq = entry.seq;
    this.delivered += 1;
    if (this.measuring) this.shown.add(this.times.since(entry, performance.now()));
  }

  /** Waits for what is on the way: at most settleMsMax, and not when nothing came for quietMs. */
  async settle(): Promise<void> {
    let [seen, since] = [-1, performance.now()];
    const until = since + benchLimits.settleMsMax;
    while (this.decided + this.failed < this.sent || this.delivered < this.decided) {
      const now = performance.now();
      if (this.decided + this.delivered !== seen) [seen, since] = [this.decided + this.delivered, now];
      if (now > until || now - since > benchLimits.quietMs) return;
      await pause(20);
    }
  }

  faults(): Record<string, number> {
    const all: Record<string, number> = {};
    for (const client of this.clients) for (const [code, count] of client.faults) all[code] = (all[code] ?? 0) + count;
    return all;
  }

  close(): void {
    for (const client of this.clients) client.close();
  }
}

export async function runPairs(job: PairsJob, marks: Marks): Promise<LoadResult> {
  const traffic = new PairTraffic();
  await traffic.open(job.pairs);
  let stop = (): void => {};
  if (job.perSecond === undefined) {
    let running = true;
    traffic.onDecided = (line) => {
      if (running) traffic.send(line);
    };
    stop = () => {
      running = false;
    };
    for (let n = 0; n < (job.window ?? 1); n++) for (const line of traffic.lines) traffic.send(line);
  } else {
    const sending = paced(job.perSecond, (sent) =>
      traffic.send(traffic.lines[sent % traffic.lines.length] as (typeof traffic.lines)[number]),
    );
    stop = () => sending[Symbol.dispose]();
  }
  await pause(job.warmUpMs);
  marks.begin();
  const watch = new Stopwatch();
  const before = traffic.delivered;
  traffic.measuring = true;
  await pause(job.measuredMs);
  traffic.measuring = false;
  const done = traffic.delivered - before;
  const { ms, ownCpuMs } = watch.read();
  marks.end();
  stop();
  await traffic.settle();
  traffic.close();
  return {
    done,
    ms,
    ownCpuMs,
    latency: traffic.shown.table(),
    accepted: traffic.answered.table(),
    missing: traffic.sent - traffic.failed - traffic.delivered,
    disordered: traffic.disordered,
    refused: traffic.failed,
    faults: traffic.faults(),
  };
}

/** Sends exactly that many messages and waits until all have arrived. */
export async function runFill(job: FillJob, marks: Marks): Promise<LoadResult> {
  const traffic = new PairTraffic();
  await traffic.open(job.pairs);
  traffic.onDecided = (line) => {
    if (traffic.sent < job.messages) traffic.send(line);
  };
  marks.begin();
  const watch = new Stopwatch();
  for (let n = 0; n < job.window; n++) for (const line of traffic.lines) if (traffic.sent < job.messages) traffic.send(line);
  const until = performance.now() + benchLimits.scenarioMsMax;
  while (traffic.decided + traffic.failed < job.messages && performance.now() < until) await pause(20);
  await traffic.settle();
  const { ms, ownCpuMs } = watch.read();
  marks.end();
  traffic.close();
  return {
    done: traffic.delivered,
    ms,
    ownCpuMs,
    latency: traffic.shown.table(),
    missing: traffic.sent - traffic.failed - traffic.delivered,
    disordered: traffic.disordered,
    refused: traffic.failed,
    faults: traffic.faults(),
  };
}
