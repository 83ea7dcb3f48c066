import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import { type ApplyDutyOptions, applyDuty } from './apply-duty.ts';
import type { ArrivedFrame } from './delivery/applier.ts';
import type { OpenedFrame } from './link/sealed-link.ts';

test('frames wait with their consumer while the lane of their partition is crowded', () => {
  const told: string[] = [];
  let arrives: (frame: InboundFrame) => void = () => assert.fail('nothing is consumed');
  let isCrowded = false;
  let roomy: () => void = () => assert.fail('nobody waits for room');
  const nobody = { mustWait: () => assert.fail('another lane was asked') };
  const crowd = {
    mustWait: (then: () => void): boolean => {
      roomy = then;
      return isCrowded;
    },
  };
  const duty = applyDuty(1, {
    everyMs: 1_000,
    bus: {
      consumePartition: (p, onFrame) => {
        told.push(`consumes ${p}`);
        arrives = onFrame;
        return {
          pause: () => told.push('pause'),
          resume: () => told.push('resume'),
          [Symbol.asyncDispose]: async () => void told.push('end'),
        };
      },
    },
    link: { open: (frame: InboundFrame) => frame as unknown as OpenedFrame } as unknown as ApplyDutyOptions['link'],
    delivery: { applier: { take: ({ src }: ArrivedFrame) => void told.push(`frame ${src}`) }, lanes: [nobody, crowd, nobody] },
    stamped: (frame) => frame,
  });
  const frame = (src: number): void => arrives({ src } as unknown as InboundFrame);
  duty.held?.(true, false);
  frame(1);
  isCrowded = true;
  frame(2);
  roomy();
  duty.held?.(false, false);
  roomy();
  assert.deepEqual(told, ['consumes 1', 'frame 1', 'frame 2', 'pause', 'resume', 'end']);
});
