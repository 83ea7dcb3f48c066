// Nodes of one cell tell each other what they committed (R20). Counters are dense per (node, start) and repeated each
// second: a hole, a restarted or a vanished node makes the others read the heads they watch.

import type { MarkMoved, SignedHead, Truncated } from '@weft/proto/gen/weft/client/v1/client.ts';
import { NodePush, type SessionOpened } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import { Reader, writeVarint } from '../wire/bytes.ts';
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
  start: number;
  counter: number;
  heardMs: number;
}

/** What stands before everything else in a push. */
interface Front {
  node: number;
  start: number;
  counter: number;
  beat: boolean;
}

export class NodePushes implements Disposable {
  readonly #options: NodePushesOptions;
  readonly #writer = new KeptWriter();
  readonly #peers = new Map<number, Peer>();
  readonly #owned = new DisposableStack();
  #counter = 0;
  readonly #opened: SessionOpened[] = [];
  #gathering: Disposable | undefined;
  /** Between two beats, while the broker is away. */
  #looking: Disposable | undefined;

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
    this.#counter += 1;
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
    this.#looking?.[Symbol.dispose]();
    this.#owned.dispose();
  }

  /** The counter counts whether or not anybody listens: a node that begins to listen sees the hole. */
  #tell(make: (front: Uint8Array) => Buffer): void {
    this.#counter += 1;
    if (this.#peers.size === 0) return;
    this.#options.bus.publishPush(0, make(this.#front(false)));
  }

  #tellPart(part: Partial<NodePush>): void {
    this.#tell((front) => Buffer.concat([front, this.#writer.encode(NodePush, { ...emptyPush, ...part })]));
  }

  #front(beat: boolean): Uint8Array {
    const { node, start } = this.#options;
    return writeFront({ node, start, counter: this.#counter, beat });
  }

  #beat(): void {
    const { bus, clock, onHole } = this.#options;
    const isAway = !bus.publishPush(0, this.#front(true));
    // Nobody can tell, so what the others commit is looked for; our own pushes are missed by them the same way.
    if (isAway) {
      onHole();
      this.#looking = clock.timer(beatMs / 2, onHole);
    }
    const now = clock.monotonic();
    for (const [node, peer] of this.#peers) {
      if (now - peer.heardMs <= vanishedMs) continue;
      // What it committed last may never have been told.
      this.#peers.delete(node);
      onHole();
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
  #follow(push: Front): boolean {
    const peer = this.#peers.get(push.node);
    const heardMs = this.#options.clock.monotonic();
    this.#peers.set(push.node, { start: push.start, counter: push.counter, heardMs });
    if (!peer || peer.start !== push.start) return true;
    return push.counter > peer.counter + (push.beat ? 0 : 1);
  }
}

const emptyPush = NodePush.fromPartial({});
const beatMs = 1_000;
const vanishedMs = 4_000;
const gatherMs = 20;

const varintType = 0;
/** Tags of NodePush: (field << 3) | wire type. */
const tags = { node: 0x08, start: 0x10, counter: 0x18, beat: 0x38 } as const;
/** Four tags, a number of 32 bits, two of 53, a bit. */
const frontBytesMax = 4 + 5 + 2 * 8 + 1;

/** By hand, and read by hand: it goes before each push, and is all there is to a beat. */
function writeFront({ node, start, counter, beat }: Front): Buffer {
  const front = Buffer.allocUnsafe(frontBytesMax);
  front[0] = tags.node;
  let at = writeVarint(front, 1, node);
  front[at++] = tags.start;
  at = writeVarint(front, at, start);
  front[at++] = tags.counter;
  at = writeVarint(front, at, counter);
  if (beat) {
    front[at++] = tags.beat;
    front[at++] = 1;
  }
  return front.subarray(0, at);
}

/** Node, start, counter and beat, which are encoded first, without decoding what follows. */
function readFront(bytes: Uint8Array): Front {
  const reader = new Reader(bytes);
  const front = { node: 0, start: 0, counter: 0, beat: false };
  while (reader.at < reader.end && ((reader.bytes[reader.at] as number) & 7) === varintType) {
    const tag = reader.varint();
    const value = reader.varint();
    if (tag === tags.node) front.node = value;
    else if (tag === tags.start) front.start = value;
    else if (tag === tags.counter) front.counter = value;
    else if (tag === tags.beat) front.beat = value !== 0;
  }
  return front;
}
