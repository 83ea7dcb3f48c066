import { LogJoined, LogLeft } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import { Hub, type OnlineUser, type PushEvent, type Receiver } from './hub.ts';
import type { Origins } from './origins.ts';
import type { SharedPush } from './shared-push.ts';

export const epoch = 4_296_015_873n;

export const entryAt = (log: bigint, seq: number, over: Partial<Entry> = {}): Entry => ({
  log,
  epoch,
  seq,
  ts: 1,
  author: 1n,
  clientEntryId: BigInt(seq),
  ord: seq,
  kind: kinds.text,
  flags: 0,
  body: Buffer.from(`${log}/${seq}`),
  ...over,
});

export const joined = (user: bigint, seq: number, log: bigint, from: number): Entry =>
  entryAt(user, seq, {
    kind: kinds.logJoined,
    body: LogJoined.encode({ log, kind: 'LOG_KIND_GROUP', peer: 0n, from: BigInt(from) }).finish(),
  });
export const left = (user: bigint, seq: number, log: bigint, until: number): Entry =>
  entryAt(user, seq, { kind: kinds.logLeft, body: LogLeft.encode({ log, until: BigInt(until) }).finish() });

/** What one socket was told of each log, in order: seqs, and `a` before those it was told as Accepted. */
export class Socket implements Receiver {
  readonly told: string[] = [];
  readonly events: PushEvent[] = [];

  push(push: SharedPush): void {
    for (const { log, seq } of push.entries) this.told.push(`${log}/${seq}`);
  }

  tell(event: PushEvent): void {
    this.events.push(event);
  }

  of(log: bigint): string[] {
    return this.told.filter((each) => each.replace('a', '').startsWith(`${log}/`));
  }
}

/** A hub over a store of plain arrays; reads answer when the test lets them. */
export class Ground {
  readonly stored = new Map<bigint, Entry[]>();
  readonly failures: unknown[] = [];
  /** Of every log. */
  epochs: readonly EpochStart[] = [];
  epochsFail = false;
  headEpoch = epoch;
  readonly hub: Hub;
  fails = false;
  reads = 0;
  headReads = 0;

  constructor(limits: { fillEntriesMax?: number; heldRunsMax?: number; pushBytesMax?: number } = {}) {
    this.hub = new Hub({
      readRange: async (log, from, limit) => {
        this.reads += 1;
        if (this.fails) throw new Error('the store is away');
        return (this.stored.get(log) ?? []).filter((e) => e.seq >= from).slice(0, limit);
      },
      readEpochs: async () => {
        if (this.epochsFail) throw new Error('the store is away');
        return this.epochs;
      },
      readHeads: async (logs) => {
        this.headReads += 1;
        if (this.fails) throw new Error('the store is away');
        return logs.map((log) => this.row(log));
      },
      failed: (error) => this.failures.push(error),
      fillEntriesMax: 256,
      heldRunsMax: 64,
      pushBytesMax: 64_000,
      ...limits,
    });
  }

  store(...entries: Entry[]): void {
    for (const entry of entries) this.stored.set(entry.log, [...(this.stored.get(entry.log) ?? []), entry]);
  }

  row(log: bigint): { log: bigint; epoch: bigint; head: number } {
    return { log, epoch: this.headEpoch, head: this.stored.get(log)?.at(-1)?.seq ?? 0 };
  }

  /** Stores the entries and tells this node of them in one transaction. */
  commit(...entries: Entry[]): void {
    this.store(...entries);
    this.tell(entries);
  }

  tell(entries: readonly Entry[], origins?: Origins): void {
    const logs = [...new Set(entries.map(({ log }) => log))];
    this.hub.deliver(
      logs.map((log) => ({ log, entries: entries.filter((e) => e.log === log) })),
      origins,
    );
  }

  async online(user: bigint, logs: readonly bigint[]): Promise<{ socket: Socket; online: OnlineUser }> {
    const socket = new Socket();
    const { online } = await this.hub.open(user, socket, async () => ({ heads: [user, ...logs].map((log) => this.row(log)) }));
    return { socket, online };
  }
}

/** Lets everything that is under way in promises happen. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const digestOf = (online: OnlineUser): bigint => {
  const digest: Digest = { hi: 0, lo: 0 };
  for (const { log, epoch: at, head } of online.logs) toggleHead(digest, log, at, head);
  return digestValue(digest);
};
