// A group whose members are all online: a few of them send, everyone else must get every message. A sender's next message
// goes when an earlier one has reached every member, so nothing piles up out of sight.

import { inParallel } from '@weft/local/in-parallel.ts';
import { Latency } from './latency.ts';
import { benchLimits } from './limits.ts';
import { EntryIds, LoadClient, SendTimes } from './load-client.ts';
import type { FanOutJob, LoadResult, Marks } from './load-job.ts';
import { pause } from './pace.ts';
import { Stopwatch } from './stopwatch.ts';
import { AppendTemplate, type EntryView } from './wire.ts';

class GroupTraffic {
  readonly times = new SendTimes();
  readonly entryIds = new EntryIds(Date.now());
  readonly latency = new Latency();
  readonly clients: LoadClient[] = [];
  readonly #lastSeq: number[] = [];
  /** Members that have the message, by the low bits of its client entry id. */
  readonly #reached = new Uint16Array(benchLimits.sendTimesMax);
  readonly #sender = new Uint8Array(benchLimits.sendTimesMax);
  #template: AppendTemplate | undefined;
  sent = 0;
  complete = 0;
  deliveries = 0;
  disordered = 0;
  failed = 0;
  measuring = false;
  running = true;

  async open(job: FanOutJob): Promise<void> {
    const connect = (at: number): Promise<LoadClient> => {
      const member = job.members[at];
      if (member === undefined) throw new RangeError(`no member ${at}`);
      return LoadClient.connect(member, {
        accepted: (entry) => this.#accepted(at, entry),
        pushed: (entry) => this.#pushed(at, entry),
        failed: () => {
          this.failed += 1;
        },
      });
    };
    this.clients.push(...(await inParallel(job.members, benchLimits.connectsInFlightMax, (_member, at) => connect(at))));
    const [creator] = this.clients;
    if (creator === undefined) throw new RangeError('a group without members');
    const { lo, hi } = this.entryIds.take();
    const members = this.clients.slice(1).map((client) => client.user);
    const { log } = await creator.ask(
      { $case: 'createGroup', value: { clientEntryId: (BigInt(hi) << 32n) | BigInt(lo), title: 'fan-out', members, membersMax: 0 } },
      'opened',
    );
    this.#template = new AppendTemplate({ log }, 'x'.repeat(benchLimits.bodyBytes));
  }

  send(sender: number): void {
    const client = this.clients[sender];
    if (client === undefined || this.#template === undefined) throw new RangeError(`no sender ${sender}`);
    const entryId = this.entryIds.take();
    const place = entryId.lo & (benchLimits.sendTimesMax - 1);
    this.times.sent(entryId, performance.now());
    this.#reached[place] = 0;
    this.#sender[place] = sender;
    this.sent += 1;
    client.append(this.#template, entryId);
  }

  #accepted(member: number, entry: EntryView): void {
    this.#order(member, entry);
  }

  /** False for what the member already had. An Accepted counts as the push of its entry and keeps the same order. */
  #order(member: number, entry: EntryView): boolean {
    const last = this.#lastSeq[member] ?? 0;
    if (entry.seq <= last) return false;
    if (last !== 0 && entry.seq !== last + 1) this.disordered += 1;
    this.#lastSeq[member] = entry.seq;
    return true;
  }

  #pushed(member: number, entry: EntryView): void {
    if (entry.textBytes < 0) return;
    if (!this.#order(member, entry)) return;
    this.deliveries += 1;
    const place = entry.entryIdLo & (benchLimits.sendTimesMax - 1);
    if (this.measuring && this.deliveries % benchLimits.fanOutSampleEvery === 0)
      this.latency.add(this.times.since(entry, performance.now()));
    const reached = (this.#reached[place] ?? 0) + 1;
    this.#reached[place] = reached;
    if (reached < this.clients.length - 1) return;
    this.complete += 1;
    if (this.running) this.send(this.#sender[place] ?? 0);
  }
}

export async function runFanOut(job: FanOutJob, marks: Marks): Promise<LoadResult> {
  const traffic = new GroupTraffic();
  await traffic.open(job);
  await pause(500);
  for (let n = 0; n < job.window; n++) for (let sender = 0; sender < job.senders; sender++) traffic.send(sender);
  await pause(job.warmUpMs);
  marks.begin();
  const watch = new Stopwatch();
  const before = traffic.deliveries;
  traffic.measuring = true;
  await pause(job.measuredMs);
  traffic.measuring = false;
  const done = traffic.deliveries - before;
  const { ms, ownCpuMs } = watch.read();
  marks.end();
  traffic.running = false;
  const until = performance.now() + benchLimits.settleMsMax;
  while (traffic.complete < traffic.sent && performance.now() < until) await pause(20);
  const faults: Record<string, number> = {};
  for (const client of traffic.clients) {
    for (const [code, count] of client.faults) faults[code] = (faults[code] ?? 0) + count;
    client.close();
  }
  return {
    done,
    ms,
    ownCpuMs,
    latency: traffic.latency.table(),
    missing: traffic.sent - traffic.complete,
    disordered: traffic.disordered,
    refused: traffic.failed,
    faults,
  };
}
