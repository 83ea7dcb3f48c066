// Frames of one link into the destination's inbound stream, each with the broker's answer.
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { type FrameClass, subjects } from '@weft/proto/subjects.ts';
import { linkLimits } from './link-limits.ts';
import { isNoResponders, type PeerAnswers } from './nats-answers.ts';
import type { BusWatch } from './nats-watch.ts';

/**
 * stored, duplicate: the broker has it (this says nothing about the other cell's store). no-responders: nothing was
 * sent or nobody took it; retry with back-off. refused: the stream is full or does not want it. timeout: unknown; send
 * again under the *same* message id.
 */
export type Published = 'stored' | 'duplicate' | 'no-responders' | 'refused' | 'timeout';

export interface FrameAddressing {
  readonly cls: FrameClass;
  /** Partition, 0 to 3. */
  readonly p: number;
  /** src.generation.id.attempt: the broker drops what carries the same within ten minutes. */
  readonly msgId: string;
}

export class LinkPublisher {
  readonly #nc: NatsConnection;
  readonly #watch: BusWatch;
  readonly #answers: PeerAnswers;
  readonly #cell: string;
  readonly #peer: string;

  constructor(parts: {
    readonly nc: NatsConnection;
    readonly watch: BusWatch;
    readonly answers: PeerAnswers;
    readonly cell: string;
    readonly peer: string;
  }) {
    this.#nc = parts.nc;
    this.#watch = parts.watch;
    this.#answers = parts.answers;
    this.#cell = parts.cell;
    this.#peer = parts.peer;
  }

  /** Never rejects. Publishes of one partition reach the stream in call order while all are stored. */
  publish({ cls, p, msgId }: FrameAddressing, bytes: Uint8Array): Promise<Published> {
    if (!this.#watch.connected || this.#answers.full) return Promise.resolve('no-responders');
    return new Promise((resolve) => {
      const reply = this.#answers.expect(linkLimits.publishMsMax, (answer) => resolve(answer === 'timeout' ? answer : meaning(answer)));
      const named = headers();
      named.append('Nats-Msg-Id', msgId);
      try {
        this.#nc.publish(subjects.frame(this.#peer, cls, this.#cell, p), bytes, { reply, headers: named });
      } catch {
        // Larger than the server takes, or the connection was closed: nothing was sent.
        this.#answers.withdraw(reply);
        resolve(this.#nc.isClosed() ? 'no-responders' : 'refused');
      }
    });
  }
}

function meaning(message: Msg): Published {
  if (isNoResponders(message)) return 'no-responders';
  const answer = message.string();
  if (answer.includes('"error"')) return 'refused';
  return answer.includes('"duplicate"') && /"duplicate":\s*true/.test(answer) ? 'duplicate' : 'stored';
}
