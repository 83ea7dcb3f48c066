// The bus between cells, in memory. Each cell has one inbound stream (a work queue with explicit acknowledgements and a
// dedupe window), plain messages that may be lost, and requests. What goes wrong is drawn from the seed.

import type { Link, PublishResult } from '@weft/cells/delivery/ports.ts';
import { WeftError } from '@weft/proto/faults.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import type { Random } from '@weft/runtime/random.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

export interface PublishedFrame {
  readonly dst: number;
  readonly class: FrameClass;
  readonly lane: number;
  readonly id: bigint;
  readonly attempt: number;
  readonly bytes: Uint8Array;
}

export interface DeliveredFrame {
  readonly src: number;
  readonly cls: FrameClass;
  readonly id: bigint;
  readonly plain: Uint8Array;
  ack(): void;
  nak(afterMs: number): void;
}

/** A process that takes part: one node of a cell. */
export interface Participant {
  readonly alive: boolean;
  /** Whether it consumes its cell's inbound frames now. */
  consumes(): boolean;
  frame(frame: DeliveredFrame): void;
  acks(src: number, bytes: Uint8Array): void;
  signal(src: number, bytes: Uint8Array): void;
  answer(src: number, method: string, bytes: Uint8Array): Promise<Uint8Array>;
}

export interface NetworkFaults {
  /** Chances, 0 to 1. */
  lose: number;
  duplicate: number;
  late: number;
}

interface Stored {
  readonly frame: PublishedFrame;
  readonly src: number;
  handed: boolean;
}

const dedupeMs = 600_000;
const ackWaitMs = 30_000;
const publishMsMax = 2_000;
const requestMsMax = 3_000;
const consumeEveryMs = 250;

export class MemoryNetwork {
  readonly faults: NetworkFaults = { lose: 0, duplicate: 0, late: 0 };
  /** Directed links that are cut: "1>2". */
  readonly cut = new Set<string>();
  readonly #time: SimulatedTime;
  readonly #random: Random;
  readonly #trace: (what: string) => void;
  readonly #participants = new Map<number, Participant[]>();
  readonly #inbound = new Map<number, Set<Stored>>();
  readonly #known = new Map<string, number>();

  constructor(time: SimulatedTime, random: Random, trace: (what: string) => void) {
    this.#time = time;
    this.#random = random;
    this.#trace = trace;
  }

  join(cell: number, participant: Participant): void {
    this.#participants.set(cell, [...this.#alive(cell), participant]);
    if (!this.#inbound.has(cell)) this.#inbound.set(cell, new Set());
  }

  /** What one process sends by. Answers come to it when its clock runs; to a dead one never. */
  link(src: number, clock: ProcessClock): Link {
    return {
      publish: async (frame) => {
        const result = await this.publish(src, frame);
        await clock.sleep(0);
        return result;
      },
      acknowledge: (dst, bytes) => this.#whisper(src, dst, (each) => each.acks(src, bytes)),
      signal: (dst, _what, bytes) => this.#whisper(src, dst, (each) => each.signal(src, bytes)),
      request: async (dst, method, bytes) => {
        const answer = await this.#request(src, dst, { method, bytes });
        await clock.sleep(0);
        if (!answer) throw new WeftError('peer_away');
        return answer;
      },
    };
  }

  /** All a cell's broker has is gone; it also forgets what it had. */
  wipe(cell: number): void {
    this.#inbound.get(cell)?.clear();
    for (const key of this.#known.keys()) if (key.startsWith(`${cell}/`)) this.#known.delete(key);
  }

  /** All a cell's broker has is gone, and it takes the same ids for duplicates. */
  lose(cell: number): void {
    this.#inbound.get(cell)?.clear();
  }

  async publish(src: number, frame: PublishedFrame): Promise<PublishResult> {
    const there = this.#delay();
    if (!this.#passes(src, frame.dst)) {
      if (this.#random.next() < 0.5) {
        await this.#time.sleep(there);
        return 'no-responders';
      }
      await this.#time.sleep(publishMsMax);
      return 'timeout';
    }
    await this.#time.sleep(there);
    const result = this.#store(src, frame);
    if (!this.#passes(frame.dst, src)) {
      await this.#time.sleep(publishMsMax);
      return 'timeout';
    }
    await this.#time.sleep(this.#delay());
    return result;
  }

  #store(src: number, frame: PublishedFrame): PublishResult {
    const key = `${frame.dst}/${src}.${frame.id}.${frame.attempt}`;
    const known = this.#known.get(key);
    if (known !== undefined && this.#time.nowMs - known < dedupeMs) return 'duplicate';
    this.#known.set(key, this.#time.nowMs);
    const stored: Stored = { frame, src, handed: false };
    this.#inbound.get(frame.dst)?.add(stored);
    this.#trace(`stored ${key} ${frame.class}`);
    this.#hand(stored, this.#delay());
    return 'stored';
  }

  /** Hands a frame to whoever consumes; again after a while, until it is acknowledged. */
  #hand(stored: Stored, afterMs: number): void {
    this.#time.after(afterMs, () => {
      const { dst } = stored.frame;
      const inbound = this.#inbound.get(dst);
      if (!inbound?.has(stored)) return;
      const consumers = this.#alive(dst).filter((each) => each.consumes());
      const consumer = consumers[this.#random.int(Math.max(consumers.length, 1))];
      if (!consumer) return this.#hand(stored, consumeEveryMs);
      let again = this.#time.after(ackWaitMs, () => this.#hand(stored, 0));
      const delivered: DeliveredFrame = {
        src: stored.src,
        cls: stored.frame.class,
        id: stored.frame.id,
        plain: stored.frame.bytes,
        ack: () => {
          again[Symbol.dispose]();
          inbound.delete(stored);
        },
        nak: (ms) => {
          again[Symbol.dispose]();
          again = this.#time.after(ms, () => this.#hand(stored, 0));
        },
      };
      consumer.frame(delivered);
      if (this.#random.next() < this.faults.duplicate) this.#time.after(this.#delay(), () => consumer.frame(delivered));
    });
  }

  #whisper(src: number, dst: number, hear: (participant: Participant) => void): void {
    if (!this.#passes(src, dst)) return;
    for (const each of this.#alive(dst)) this.#time.after(this.#delay(), () => each.alive && hear(each));
  }

  async #request(src: number, dst: number, { method, bytes }: { method: string; bytes: Uint8Array }): Promise<Uint8Array | undefined> {
    const nodes = this.#alive(dst);
    const node = nodes[this.#random.int(Math.max(nodes.length, 1))];
    if (!node || !this.#passes(src, dst) || !this.#passes(dst, src)) {
      await this.#time.sleep(requestMsMax);
      return undefined;
    }
    await this.#time.sleep(this.#delay());
    const late = this.#time.sleep(requestMsMax).then(() => undefined);
    const answer = await Promise.race([node.answer(src, method, bytes).catch(() => undefined), late]);
    await this.#time.sleep(this.#delay());
    return answer;
  }

  #passes(src: number, dst: number): boolean {
    return !this.cut.has(`${src}>${dst}`) && this.#random.next() >= this.faults.lose;
  }

  #alive(cell: number): Participant[] {
    return (this.#participants.get(cell) ?? []).filter((each) => each.alive);
  }

  /** Milliseconds on the way; some take long, which is what reorders. */
  #delay(): number {
    const near = 1 + this.#random.next() * 3;
    return this.#random.next() < this.faults.late ? near + this.#random.next() * 700 : near;
  }
}
