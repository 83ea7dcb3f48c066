// The buses of one node, as runtime/nats-fabric-bus.ts and runtime/nats-cell-bus.ts are, over the supercluster in memory.
import type { InboundBus } from '@weft/cells/cell-duties.ts';
import type { LinkBus } from '@weft/cells/link/sealed-link.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import type { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import type { Published } from '@weft/runtime/nats-publisher.ts';
import type { RequestHandler, RequestOutcome } from '@weft/runtime/nats-requests.ts';
import type { Random } from '@weft/runtime/random.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';
import type { Broker, Connection, Supercluster } from './supercluster.ts';

export interface MemoryBusOptions {
  readonly cell: string;
  readonly clock: ProcessClock;
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly network: Supercluster;
  readonly trace: (what: string) => void;
}

export interface PublishedFrame {
  readonly dst: string;
  readonly cls: FrameClass;
  readonly p: number;
  readonly msgId: string;
}

export class MemoryBus implements LinkBus, Pick<CellBus, 'publishPush' | 'subscribePush'> {
  readonly #options: MemoryBusOptions;
  readonly #connection: Connection;
  readonly #broker: Broker;

  constructor(options: MemoryBusOptions) {
    this.#options = options;
    this.#connection = options.network.join(options.cell, options.clock);
    this.#broker = options.network.broker(options.cell);
  }

  after(ms: number, fn: () => void): void {
    this.#options.time.after(ms, fn, this.#options.clock);
  }

  /** The process died: its connection is closed. */
  close(): void {
    this.#options.network.leave(this.#connection);
  }

  publisher(dst: string): { publish(frame: { cls: FrameClass; p: number; msgId: string }, bytes: Uint8Array): Promise<Published> } {
    return { publish: (frame, bytes) => this.publish({ ...frame, dst }, bytes) };
  }

  publish(frame: PublishedFrame, data: Uint8Array): Promise<Published> {
    const { cell, clock, time, network, trace } = this.#options;
    const { dst, cls, p, msgId } = frame;
    return new Promise((resolve) => {
      if (!this.#connected) return void time.after(0, () => resolve('no-responders'), clock);
      if (network.isKnownAway(cell, dst)) return void time.after(2, () => resolve('no-responders'), clock);
      const late = time.after(linkLimits.publishMsMax, () => resolve('timeout'), clock);
      network.send(cell, dst, () => {
        const result = network.store(dst, { src: cell, cls, p, msgId, data });
        trace(`${result} ${cell} ${dst} ${cls} ${msgId}`);
        network.send(dst, cell, () => {
          late[Symbol.dispose]();
          clock.within(() => resolve(result));
        });
      });
    });
  }

  publishAck(dst: string, bytes: Uint8Array): boolean {
    return this.#tell(
      dst,
      (each) => each.acks,
      (hear) => hear(this.#options.cell, bytes),
    );
  }

  publishSignal(dst: string, what: string, bytes: Uint8Array): boolean {
    return this.#tell(
      dst,
      (each) => each.signals,
      (hear) => hear(this.#options.cell, what, bytes),
    );
  }

  async request(to: { dst: string; method: string; timeoutMs: number }, bytes: Uint8Array): Promise<RequestOutcome> {
    const { cell, clock, time, random, network } = this.#options;
    if (!this.#connected || network.isKnownAway(cell, to.dst)) {
      await clock.sleep(2);
      return { ok: false, why: 'no-responders' };
    }
    return new Promise((resolve) => {
      const late = time.after(to.timeoutMs, () => resolve({ ok: false, why: 'timeout' }), clock);
      network.send(cell, to.dst, () => {
        const serving = [...network.broker(to.dst).connections].filter((each) => each.clock.alive && each.serves.length > 0);
        const server = serving[random.int(Math.max(serving.length, 1))];
        const answer = (outcome: RequestOutcome): void =>
          network.send(to.dst, cell, () => {
            late[Symbol.dispose]();
            clock.within(() => resolve(outcome));
          });
        if (!server) return answer({ ok: false, why: 'no-responders' });
        time.after(
          0.1,
          () => {
            const handler = server.serves[0] as RequestHandler;
            handler(cell, to.method, bytes).then(
              (found) => found && server.clock.alive && answer({ ok: true, bytes: found }),
              // Without an answer the asker's time runs out.
              () => undefined,
            );
          },
          server.clock,
        );
      });
    });
  }

  subscribeAcks(on: (src: string, bytes: Uint8Array) => void): Disposable {
    return listed(this.#connection.acks, on);
  }

  subscribeSignals(on: (src: string, what: string, bytes: Uint8Array) => void): Disposable {
    return listed(this.#connection.signals, on);
  }

  serveRequests(handler: RequestHandler): AsyncDisposable {
    const server = listed(this.#connection.serves, handler);
    return { [Symbol.asyncDispose]: async () => server[Symbol.dispose]() };
  }

  ensureInbound(): Promise<void> {
    return Promise.resolve();
  }

  consumePartition(
    p: number,
    onFrame: (frame: InboundFrame) => void,
    { takenOver }: { readonly takenOver: boolean },
  ): ReturnType<InboundBus['consumePartition']> {
    const { time, network, clock } = this.#options;
    const broker = this.#broker;
    const held: InboundFrame[] = [];
    let isPaused = false;
    this.#connection.consumers.set(p, ({ seq, src, cls, data, redelivered }) => {
      const say = (what: () => void): void => {
        if (!clock.alive || !broker.up) return;
        time.after(0.2, () => {
          if (!broker.up) return;
          what();
          network.pump(broker, p);
        });
      };
      const frame: InboundFrame = {
        src,
        cls,
        p,
        data,
        redelivered,
        storedAtMs: clock.now(),
        ack: () => say(() => broker.stream.ack(time.nowMs, seq)),
        nak: (ms) => say(() => broker.stream.nak(time.nowMs, seq, ms)),
        working: () => undefined,
      };
      if (isPaused) held.push(frame);
      else onFrame(frame);
    });
    if (takenOver) broker.stream.takeOver(time.nowMs, p);
    network.pump(broker, p);
    return {
      pause: () => {
        isPaused = true;
      },
      resume: () => {
        isPaused = false;
        while (!isPaused && held.length > 0) onFrame(held.shift() as InboundFrame);
      },
      [Symbol.asyncDispose]: async () => {
        this.#connection.consumers.delete(p);
        for (const frame of held.splice(0)) frame.nak(0);
      },
    };
  }

  publishPush(_p: number, bytes: Uint8Array): boolean {
    const { clock, time, random, network } = this.#options;
    if (!this.#connected) return false;
    for (const each of this.#broker.connections) {
      if (each === this.#connection || !each.clock.alive) continue;
      if (network.faults.dropPush > 0 && random.next() < network.faults.dropPush) continue;
      const late = network.faults.late > 0 && random.next() < network.faults.late ? random.next() * 300 : 0;
      // One connection keeps its order, unless it is slow.
      time.after(0.3 + late, () => each.pushes.forEach((hear) => void hear(bytes)), each.clock);
    }
    return clock.alive;
  }

  subscribePush(on: (bytes: Uint8Array, p: number) => void): Disposable {
    return listed(this.#connection.pushes, (bytes: Uint8Array) => on(bytes, 0));
  }

  get #connected(): boolean {
    return this.#options.clock.alive && this.#broker.up;
  }

  #tell<T>(dst: string, hears: (connection: Connection) => readonly T[], hear: (on: T) => void): boolean {
    const { cell, network } = this.#options;
    if (!this.#connected) return false;
    const to = network.broker(dst);
    network.send(cell, dst, () => {
      for (const each of to.connections)
        each.clock.within(() => {
          for (const on of hears(each)) hear(on);
        });
    });
    return true;
  }
}

function listed<T>(list: T[], on: T): Disposable {
  list.push(on);
  return {
    [Symbol.dispose]: () => {
      const at = list.indexOf(on);
      if (at >= 0) list.splice(at, 1);
    },
  };
}
