// Applying one partition of the inbound stream, for as long as its lease is held. Frames that the partition's lane has no room for wait
// with the consumer, which reports them as in work: turned away they would come again, whole, every half second.
import type { InboundFrame, PartitionConsumer } from '@weft/runtime/nats-consumer.ts';
import type { Applier } from './delivery/applier.ts';
import type { Lane } from './delivery/lane.ts';
import type { Duty } from './link/duties.ts';
import type { OpenedFrame, SealedLink } from './link/sealed-link.ts';

export interface PartitionBus {
  consumePartition(
    p: number,
    onFrame: (frame: InboundFrame) => void,
    options: { readonly takenOver: boolean },
  ): Pick<PartitionConsumer, 'pause' | 'resume' | typeof Symbol.asyncDispose>;
}

export interface ApplyDutyOptions {
  readonly everyMs: number;
  readonly bus: PartitionBus;
  readonly link: Pick<SealedLink, 'open'>;
  readonly delivery: { readonly applier: Pick<Applier, 'take'>; readonly lanes: readonly Pick<Lane, 'mustWait'>[] };
  /** Notes when a frame came and when it was committed. */
  readonly stamped: (frame: OpenedFrame) => OpenedFrame;
}

export function applyDuty(p: number, { everyMs, bus, link, delivery, stamped }: ApplyDutyOptions): Duty {
  let consumer: ReturnType<PartitionBus['consumePartition']> | undefined;
  const roomy = (): void => consumer?.resume();
  const onFrame = (frame: InboundFrame): void => {
    const opened = link.open(frame);
    if (opened) delivery.applier.take(stamped(opened));
    if (delivery.lanes[p]?.mustWait(roomy)) consumer?.pause();
  };
  return {
    name: `apply/${p}`,
    everyMs,
    held: (held, takenOver) => {
      if (held) {
        consumer = bus.consumePartition(p, onFrame, { takenOver });
        return;
      }
      consumer?.[Symbol.asyncDispose]().catch(() => undefined);
      consumer = undefined;
    },
  };
}
