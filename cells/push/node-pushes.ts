// Nodes of one cell tell each other what they committed (R20). Counters are dense per (node, start) and repeated each
// second: a hole, a restarted or a vanished node makes the others read the heads they watch.

import type { MarkMoved, SignedHead, Truncated } from '@weft/proto/gen/weft/client/v1/client.ts';
import { NodePush, type SessionOpened } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import { decodeRuns, encodeRuns, type Run } from '../wire/frames.ts';

/** NodePush.runs = 4. */
const runsTag = 4 * 8 + 2;

export type PushBus = Pick<CellBus, 'publishPush' | 'subscribePush'>;

export interface NodePushesOptions {
  readonly bus: PushBus;
  readonly clock: Clock;
  /** Number of this node, and when it started (Unix ms). */
  readonly node: number;
  readonly start: number;
  readonly onRuns: (runs: readonly Run[]) => void;
  readonly onEpochs: (epochs: readonly Truncated[]) => void;
  readonly onMarks: (marks: readonly MarkMoved[]) => void;
  readonly onSignedHeads: (heads: readonly SignedHead[]) => void;
  readonly onSessionsEnded: (sessions: readonly bigint[]) => void;
  /** Devices connected at another node, of that number. May be lost: whoever is not told keeps an old socket. */
  readonly onSessionsOpened: (sessions: readonly SessionOpened[], node: number) => void;
  /** Commits of another node were missed. */
  readonly onHole: () => void;
}

interface Peer {
  start: bigint;
  counter: bigint;
  heardMs: number;
}

export class NodePushes implements Disposable {
  readonly #options: NodePushesOptions;
  readonly #writer = new KeptWriter();
  readonly #peers = new Map<number, Peer>();
  readonly #owned = new DisposableStack();
  #counter = 0n;
  readonly #opened: SessionOpened[] = [];
  #gathering: Disposable | undefined;

  constructor(options: NodePushesOptions) {
    this.#options = options;
    this.#owned.use(options.bus.subscribePush((bytes) => this.#heard(bytes)));
    this.#owned.use(options.clock.every(beatMs, () => this.#beat()));
    this.#beat();
  }

  /** Nodes heard of lately, this one not counted. */
  get peers(): number {
    return this.#peers.size;
  }

  tellRuns(runs: readonly Run[]): void {
    this.#tell((front) => Buffer.concat([front, encodeRuns(runs, runsTag)]));
  }

  /** Newer epochs began, oldest first for each log. */
  tellEpochs(epochs: readonly Truncated[]): void {
    this.#tellPart({ epochs: [...epochs] });
  }

  tellMarks(marks: readonly MarkMoved[]): void {
    this.#tellPart({ marks: [...marks] });
  }

  tellSignedHeads(signedHeads: readonly SignedHead[]): void {
    this.#tellPart({ signedHeads: [...signedHeads] });
  }

  tellSessionsEnded(sessions: readonly bigint[]): void {
    this.#tellPart({ sessionsEnded: [...sessions] });
  }

  /** Something may have been committed here that cannot be told: the others find a hole, and this node takes it for one. */
  tellDoubt(): void {
    this.#counter += 1n;
    this.#options.onHole();
  }

  /** Gathered for a moment: a thousand devices that come back at once are a few messages. Nobody is told where nobody listens. */
  tellSessionOpened(session: bigint, openedAt: number): void {
    if (this.#peers.size === 0) return;
    this.#opened.push({ session, openedAt: BigInt(openedAt) });
    this.#gathering ??= this.#options.clock.timer(gatherMs, () => this.#tellOpened());
  }

  #tellOpened(): void {
    this.#gathering = undefined;
    const sessionsOpened = this.#opened.splice(0);
    this.#tellPart({ sessionsOpened });
  }

  [Symbol.dispose](): void {
    this.#gathering?.[Symbol.dispose]();
    this.#owned.dispose();
  }

  /** The counter counts whether or not anybody listens: a node that begins to listen sees the hole. */
  #tell(make: (front: Uint8Array) => Buffer): void {
    this.#counter += 1n;
    if (this.#peers.size === 0) return;
    this.#options.bus.publishPush(0, make(this.#front(false)));
  }

  #tellPart(part: Partial<NodePush>): void {
    this.#tell((front) => Buffer.concat([front, this.#writer.encode(NodePush, NodePush.fromPartial(part))]));
  }

  #front(beat: boolean): Uint8Array {
    const { node, start } = this.#options;
    return this.#writer.encode(NodePush, NodePush.fromPartial({ node, start: BigInt(start), counter: this.#counter, beat }));
  }

  #beat(): void {
    const isAway = !this.#options.bus.publishPush(0, this.#front(true));
    // Nobody can tell, so what the others commit is looked for; our own pushes are missed by them the same way.
    if (isAway) this.#options.onHole();
    const now = this.#options.clock.monotonic();
    for (const [node, peer] of this.#peers) {
      if (now - peer.heardMs <= vanishedMs) continue;
      // What it committed last may never have been told.
      this.#peers.delete(node);
      this.#options.onHole();
    }
  }

  #heard(bytes: Uint8Array): void {
    const push = readFront(bytes);
    const holed = this.#follow(push);
    if (holed) this.#options.onHole();
    if (push.beat) return;
    const runs = decodeRuns(bytes, runsTag);
    if (runs.length > 0) return this.#options.onRuns(runs);
    const { marks, sessionsEnded, sessionsOpened, signedHeads, epochs } = NodePush.decode(bytes);
    if (epochs.length > 0) this.#options.onEpochs(epochs);
    if (signedHeads.length > 0) this.#options.onSignedHeads(signedHeads);
    if (marks.length > 0) this.#options.onMarks(marks);
    if (sessionsEnded.length > 0) this.#options.onSessionsEnded(sessionsEnded);
    if (sessionsOpened.length > 0) this.#options.onSessionsOpened(sessionsOpened, push.node);
  }

  /** Whether something of that node was missed. */
  #follow(push: { node: number; start: bigint; counter: bigint; beat: boolean }): boolean {
    const peer = this.#peers.get(push.node);
    const heardMs = this.#options.clock.monotonic();
    this.#peers.set(push.node, { start: push.start, counter: push.counter, heardMs });
    if (!peer || peer.start !== push.start) return true;
    return push.counter > peer.counter + (push.beat ? 0n : 1n);
  }
}

const beatMs = 1_000;
const vanishedMs = 4_000;
const gatherMs = 20;

/** Node, start, counter and beat without decoding the runs. */
function readFront(bytes: Uint8Array): { node: number; start: bigint; counter: bigint; beat: boolean } {
  const { node, start, counter, beat } = NodePush.decode(bytes.subarray(0, Math.min(bytes.length, frontLength(bytes))));
  return { node, start, counter, beat };
}

/** The front is encoded first: everything before the first length-delimited field, and the beat after it. */
function frontLength(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length && ((bytes[at] as number) & 7) === 0) {
    at += 1;
    while (at < bytes.length && (bytes[at] as number) >= 0x80) at += 1;
    at += 1;
  }
  return at;
}
