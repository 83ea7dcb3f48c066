// The inbound stream of one cell as its broker keeps it: a work queue with a dedupe window, a bound in bytes, one durable
// consumer per partition with explicit acknowledgements. Pure: time is an argument. Held to a real server by
// tests/broker-model.test.ts.
import type { FrameClass } from '@weft/proto/subjects.ts';

export interface StreamMessage {
  readonly seq: number;
  readonly src: string;
  readonly cls: FrameClass;
  readonly p: number;
  readonly msgId: string;
  readonly data: Uint8Array;
  readonly storedMs: number;
}

export interface StreamLimits {
  readonly maxBytes: number;
  readonly dedupeMs: number;
  readonly ackWaitMs: number;
  readonly ackPendingMax: number;
}

interface Pending {
  /** When it comes again without a word. */
  dueMs: number;
  /** The newest delivery; an acknowledgement of an older one counts as well. */
  deliveries: number;
}

interface Consumer {
  /** Handed out, not acknowledged. */
  readonly pending: Map<number, Pending>;
  /** Never handed out, in order. */
  readonly fresh: number[];
}

export type Stored = 'stored' | 'duplicate' | 'refused';

export class InboundStream {
  readonly #limits: StreamLimits;
  readonly #partitions: number;
  #messages = new Map<number, StreamMessage>();
  #consumers: Consumer[];
  /** Message ids and when each was stored. */
  #known = new Map<string, number>();
  /** Acknowledged, and the disk may not know it yet. */
  #gone: { readonly message: StreamMessage; readonly atMs: number }[] = [];
  #bytes = 0;
  #lastSeq = 0;

  constructor(limits: StreamLimits, partitions: number) {
    this.#limits = limits;
    this.#partitions = partitions;
    this.#consumers = this.#freshConsumers();
  }

  get size(): number {
    return this.#messages.size;
  }

  store(nowMs: number, message: Omit<StreamMessage, 'seq' | 'storedMs'>): Stored {
    this.#forgetKnown(nowMs);
    if (this.#known.has(message.msgId)) return 'duplicate';
    if (this.#bytes + sizeOf(message) > this.#limits.maxBytes) return 'refused';
    const seq = ++this.#lastSeq;
    this.#known.set(message.msgId, nowMs);
    this.#messages.set(seq, { ...message, seq, storedMs: nowMs });
    this.#bytes += sizeOf(message);
    this.#consumers[message.p]?.fresh.push(seq);
    return 'stored';
  }

  /** The next message of a partition to hand out: first what comes again, then what is new. */
  next(nowMs: number, p: number): (StreamMessage & { readonly redelivered: boolean }) | undefined {
    const { pending, fresh } = this.#consumers[p] as Consumer;
    for (const [seq, each] of pending) {
      if (each.dueMs > nowMs) continue;
      each.dueMs = nowMs + this.#limits.ackWaitMs;
      each.deliveries += 1;
      return { ...(this.#messages.get(seq) as StreamMessage), redelivered: true };
    }
    if (pending.size >= this.#limits.ackPendingMax) return undefined;
    const seq = fresh.shift();
    if (seq === undefined) return undefined;
    pending.set(seq, { dueMs: nowMs + this.#limits.ackWaitMs, deliveries: 1 });
    return { ...(this.#messages.get(seq) as StreamMessage), redelivered: false };
  }

  /** When the next message of a partition comes again; infinite when nothing is handed out. */
  nextDueMs(p: number): number {
    let due = Number.POSITIVE_INFINITY;
    for (const { dueMs } of (this.#consumers[p] as Consumer).pending.values()) due = Math.min(due, dueMs);
    return due;
  }

  /** False when it was gone already. */
  ack(nowMs: number, seq: number): boolean {
    const message = this.#messages.get(seq);
    if (!message) return false;
    this.#remove(message);
    this.#gone.push({ message, atMs: nowMs });
    return true;
  }

  nak(nowMs: number, seq: number, afterMs: number): void {
    const message = this.#messages.get(seq);
    const pending = message && this.#consumers[message.p]?.pending.get(seq);
    if (pending) pending.dueMs = nowMs + afterMs;
  }

  /** Another server leads the consumers: what was handed out comes again. */
  changeLeader(nowMs: number): void {
    for (const { pending } of this.#consumers) for (const each of pending.values()) each.dueMs = nowMs;
  }

  /** Another node takes the partition over from one that may be frozen: what was handed out comes again. */
  takeOver(nowMs: number, p: number): void {
    for (const each of (this.#consumers[p] as Consumer).pending.values()) each.dueMs = nowMs;
  }

  /** Everything is gone, and the same ids count as known: as if another holder had acknowledged it away. */
  lose(): void {
    this.#messages.clear();
    this.#consumers = this.#freshConsumers();
    this.#bytes = 0;
  }

  /** The disk is gone, with what was known. */
  wipe(): void {
    this.lose();
    this.#known.clear();
    this.#gone = [];
  }

  /** What the disk had at `syncedMs` is there again: messages since then are lost, acknowledgements since then too. */
  cutPower(syncedMs: number): void {
    for (const message of [...this.#messages.values()]) if (message.storedMs > syncedMs) this.#remove(message);
    for (const { message, atMs } of this.#gone) if (atMs > syncedMs && message.storedMs <= syncedMs) this.#restore(message);
    this.#gone = [];
    this.restart();
  }

  /** The server starts again over its files: ids are known of what is stored, everything is handed out anew. */
  restart(): void {
    const messages = [...this.#messages.values()].sort((a, b) => a.seq - b.seq);
    this.#messages = new Map(messages.map((message) => [message.seq, message]));
    this.#known = new Map(messages.map(({ msgId, storedMs }) => [msgId, storedMs]));
    this.#consumers = this.#freshConsumers();
    for (const { seq, p } of messages) this.#consumers[p]?.fresh.push(seq);
  }

  /** The disk has everything up to now. */
  synced(nowMs: number): void {
    this.#gone = this.#gone.filter(({ atMs }) => atMs > nowMs);
  }

  #remove(message: StreamMessage): void {
    this.#messages.delete(message.seq);
    this.#bytes -= sizeOf(message);
    const consumer = this.#consumers[message.p] as Consumer;
    if (consumer.pending.delete(message.seq)) return;
    const at = consumer.fresh.indexOf(message.seq);
    if (at >= 0) consumer.fresh.splice(at, 1);
  }

  #restore(message: StreamMessage): void {
    this.#messages.set(message.seq, message);
    this.#bytes += sizeOf(message);
  }

  #forgetKnown(nowMs: number): void {
    for (const [id, storedMs] of this.#known) {
      if (nowMs - storedMs < this.#limits.dedupeMs) return;
      this.#known.delete(id);
    }
  }

  #freshConsumers(): Consumer[] {
    return Array.from({ length: this.#partitions }, () => ({ pending: new Map<number, Pending>(), fresh: [] as number[] }));
  }
}

/** What a message costs of `max_bytes`: its subject, headers and data and a fixed part. */
const overheadBytes = 100;
const sizeOf = ({ data, msgId }: { readonly data: Uint8Array; readonly msgId: string }): number =>
  data.length + msgId.length + overheadBytes;
