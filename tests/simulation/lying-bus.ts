// A bus that lies: message ids, acknowledgements and frames are changed on their way.
import { FrameAcks } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import type { Published } from '@weft/runtime/nats-publisher.ts';
import type { PublishedFrame } from './memory-bus.ts';
import type { Mutation } from './mutation.ts';
import { over } from './over.ts';

type Lie = NonNullable<Mutation['bus']>;
type Publish = (frame: PublishedFrame, bytes: Uint8Array) => Promise<Published>;

/** The same bus, but for how it publishes frames. */
const publishing =
  (make: (inner: Publish, of: Parameters<Lie>[1]) => Publish): Lie =>
  (bus, of) => {
    const publish = make((frame, bytes) => bus.publish(frame, bytes), of);
    return over(bus, { publisher: (dst: string) => ({ publish: (frame, bytes) => publish({ ...frame, dst }, bytes) }) });
  };

export const attemptNeverRaised = publishing(
  (inner) => (frame, bytes) => inner({ ...frame, msgId: frame.msgId.replace(/\d+$/, '1') }, bytes),
);

/** Numbers of rows instead of ids: each source counts from one. */
export const messageIdWithoutSource = publishing(
  (inner) => (frame, bytes) => inner({ ...frame, msgId: String(BigInt(frame.msgId.split('.')[2] ?? '0') & 0x3fffn) }, bytes),
);

export const forgottenAtTheBrokersAnswer = publishing((inner, { store, seal }) => async (frame, bytes) => {
  const result = await inner(frame, bytes);
  const id = BigInt(frame.msgId.split('.')[2] ?? '0');
  if (result === 'stored' && seal) await store.acknowledged(Number(frame.dst.slice(1)), [id]).catch(() => undefined);
  return result;
});

/** A frame is acknowledged, to its broker and its sender, when it comes, and applied a moment later. */
export const acknowledgedBeforeApply: Lie = (bus, { seal }) =>
  over(bus, {
    consumePartition: (p, onFrame, options) => {
      const early = (frame: InboundFrame): void => {
        const opened = seal.openAt({ kind: 'frame', src: frame.src, cls: frame.cls, p: frame.p }, frame.data);
        frame.ack();
        if (opened.ok && frame.cls !== 'i') {
          const acks = FrameAcks.encode({ generation: 1n, committed: [opened.header.id], rejected: [], afterMs: 0 }).finish();
          bus.publishAck(frame.src, seal.seal({ kind: 'ack', dst: frame.src }, { id: 1n, attempt: 0, p: 0, what: '' }, acks));
        }
        bus.after(200, () => onFrame({ ...frame, ack: () => undefined, nak: () => undefined }));
      };
      return bus.consumePartition(p, early, options);
    },
  });
