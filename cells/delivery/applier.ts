// Frames of other cells: opened, understood, given to the lanes, and acknowledged once everything in them is committed.
// The order is always: commit, then acknowledge (R15, R16).

import type { MarkMoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import {
  EnvelopesFrame,
  FrameAcks,
  type Intake,
  IntakeFrame,
  type IntakeRefused,
  MarksFrame,
} from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { laneOf } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { Early } from './early.ts';
import type { Entry } from './entry.ts';
import { type Stream, streamKey, streamOfPair } from './log-state.ts';
import type { ApplyOperation, IntakeOperation, Operation, Outcome, OwnerOperation, Submission, Target } from './operations.ts';
import { Poison } from './poison.ts';
import type { Link } from './ports.ts';

export interface ArrivedFrame {
  readonly src: number;
  readonly cls: 'e' | 'i' | 'v' | 'm';
  readonly id: bigint;
  readonly plain: Uint8Array;
  ack(): void;
  nak(afterMs: number): void;
}

export interface ApplierOptions {
  readonly clock: Clock;
  readonly link: Link;
  /** Generation of a sending cell, as the cell table has it. */
  readonly generationOf: (cell: number) => number;
  readonly decodeRuns: (bytes: Uint8Array) => readonly { readonly log: bigint; readonly entries: readonly Entry[] }[];
  readonly submit: (lane: number, submission: Submission) => boolean;
  readonly limits: { readonly earlyMs: number; readonly earlyMax: number; readonly ackGatherMs: number };
  /** A log is behind what is known to exist, and what is missing did not come. */
  readonly behind: (log: bigint, src: number) => void;
  /** False when some of them have to come again. */
  readonly marks: (src: number, marks: readonly MarkMoved[]) => Promise<boolean>;
  /** A frame that cannot be understood is kept for people to look at (R27). */
  readonly park: (frame: ArrivedFrame, why: string) => Promise<void>;
  /** A cell said what it may not say. */
  readonly rejected: (src: number, why: string) => void;
  /** Somebody in that cell writes to a log that this cell does not own, as far as it knows. */
  readonly named: (log: bigint, by: Pick<IntakeOperation, 'src' | 'epoch'>) => void;
  readonly failed: (error: unknown) => void;
  readonly applied: (src: number, entries: number) => void;
}

type EarlyThing = IntakeOperation | ApplyOperation;
type Finished = 'committed' | 'again' | 'rejected';

export class Applier {
  readonly #options: ApplierOptions;
  readonly #early: Early<EarlyThing>;
  readonly #acks = new Map<number, { committed: bigint[]; rejected: bigint[] }>();
  #gathering: Disposable | undefined;
  readonly #poison: Poison;

  constructor(options: ApplierOptions) {
    this.#options = options;
    const { clock, limits } = options;
    this.#poison = new Poison(limits.earlyMax);
    this.#early = new Early({
      clock,
      keepMs: limits.earlyMs,
      max: limits.earlyMax,
      release: (_, things, late) => this.#released(things, late),
    });
  }

  /** Takes a frame; ends it with `ack` or `nak` some time later. */
  take(frame: ArrivedFrame): void {
    let operations: Operation[];
    try {
      if (frame.cls === 'm') return this.#takeMarks(frame);
      operations = this.#understand(frame);
    } catch (error) {
      this.#park(frame, String(error));
      return;
    }
    this.#submitAll(operations, (finished) => this.#finish(frame, finished));
  }

  /** Intake of this cell's own people in logs it came to own: decided in its numbers' order like any other (R10). */
  takeOwn(operations: readonly IntakeOperation[]): void {
    for (const operation of operations) this.#submit(operation, () => undefined);
  }

  /** A pulled page goes the same way as a frame; so does what an owner does with its log. */
  apply(operation: ApplyOperation | OwnerOperation): Promise<Outcome> {
    return new Promise((resolve) => {
      const settle = (outcome: Outcome): void => {
        if (isFailure(outcome)) this.#failed(operation, () => undefined);
        resolve(outcome);
      };
      if (!this.#options.submit(laneOf(operation.log), { operation, settle })) resolve({ type: 'fault', code: 'busy' });
    });
  }

  [Symbol.dispose](): void {
    this.#gathering?.[Symbol.dispose]();
    this.#sendAcks();
    this.#early[Symbol.dispose]();
  }

  #understand(frame: ArrivedFrame): Operation[] {
    if (frame.cls === 'e')
      return this.#options.decodeRuns(frame.plain).map(({ log, entries }) => ({ type: 'apply', src: frame.src, log, entries }));
    if (frame.cls === 'i') {
      const generation = this.#options.generationOf(frame.src);
      return IntakeFrame.decode(frame.plain).intakes.map((intake) => intakeOperation(intake, frame.src, generation));
    }
    return EnvelopesFrame.decode(frame.plain).envelopes.flatMap((envelope): Operation[] => {
      if (envelope.notice?.$case === 'refused') return [refusedOperation(envelope.notice.value, frame.src)];
      // Somebody else owns what we write to: its list is pulled, and what waits is addressed anew.
      if (envelope.notice?.$case === 'stale') this.#options.behind(envelope.notice.value.log, envelope.notice.value.owner);
      if (envelope.notice?.$case === 'moved') this.#options.behind(envelope.notice.value.subject, envelope.notice.value.cell);
      return [];
    });
  }

  /** Finishes once, with the worst of what became of them. */
  #submitAll(operations: readonly Operation[], finish: (finished: Finished) => void): void {
    let waiting = operations.length;
    let worst: Finished = 'committed';
    if (waiting === 0) return finish(worst);
    for (const operation of operations) {
      this.#submit(operation, (finished) => {
        if (finished !== 'committed') worst = worst === 'again' ? worst : finished;
        waiting -= 1;
        if (waiting === 0) finish(worst);
      });
    }
  }

  #submit(operation: Operation, finish: (finished: Finished) => void): void {
    const settle = (outcome: Outcome): void =>
      isFailure(outcome) ? this.#failed(operation, finish) : finish(this.#settled(operation, outcome));
    if (!this.#options.submit(laneOfOperation(operation), { operation, settle })) finish('again');
  }

  #settled(operation: Operation, outcome: Outcome): Finished {
    switch (outcome.type) {
      case 'fault':
        return 'again';
      case 'rejected':
        this.#rejected(operation, outcome.why);
        return 'rejected';
      case 'stale':
        return 'rejected';
      case 'early':
        if (operation.type === 'intake') this.#early.keep(earlyKey(operation), operation);
        return 'committed';
      case 'applied':
        this.#options.applied(operation.type === 'apply' ? operation.src : 0, operation.type === 'apply' ? operation.entries.length : 0);
        if (operation.type === 'apply' && outcome.behind) this.#keepBeyond(operation);
        else if (operation.type === 'apply') this.#early.progressed(earlyKey(operation));
        return 'committed';
      default:
        if (operation.type === 'intake') this.#early.progressed(earlyKey(operation));
        return 'committed';
    }
  }

  /** What may be done about it: the log is pulled, or its sender knows better who owns it. */
  #rejected(operation: Operation, why: string): void {
    this.#options.rejected('src' in operation ? operation.src : 0, why);
    if (operation.type === 'apply') this.#options.behind(operation.log, operation.src);
    if (operation.type === 'intake' && 'log' in operation.target) this.#options.named(operation.target.log, operation);
  }

  /** It comes again, or something else is done in its place (R27). */
  #failed(operation: Operation, finish: (finished: Finished) => void): void {
    const instead = this.#poison.instead(operation);
    if (instead === undefined) return finish('again');
    this.#options.rejected('src' in operation ? operation.src : 0, 'poison');
    if (instead.length === 0) return finish('rejected');
    this.#submitAll(instead, finish);
  }

  #keepBeyond(operation: ApplyOperation): void {
    // `behind` is in SQL already: what is kept here only saves the pull when the missing frame is right behind.
    if (!this.#early.keep(earlyKey(operation), operation)) this.#options.behind(operation.log, operation.src);
  }

  #released(things: readonly EarlyThing[], late: boolean): void {
    for (const thing of [...things].sort((a, b) => position(a) - position(b))) {
      if (!late) this.#submit(thing, () => undefined);
      else if (thing.type === 'apply') this.#options.behind(thing.log, thing.src);
    }
  }

  #takeMarks(frame: ArrivedFrame): void {
    const { marks } = MarksFrame.decode(frame.plain);
    this.#options.marks(frame.src, marks).then(
      // Without an acknowledgement their home sends them again, as they are by then.
      (all) => (all ? this.#finish(frame, 'committed') : frame.ack()),
      (error: unknown) => {
        this.#options.failed(error);
        frame.nak(1_000);
      },
    );
  }

  #finish(frame: ArrivedFrame, finished: Finished): void {
    if (finished === 'again') return frame.nak(500);
    frame.ack();
    // Intake is acknowledged by its decision.
    if (frame.cls !== 'i') this.#acknowledge(frame, finished);
  }

  /** Gathered for a few milliseconds: nobody waits for it but the row it lets go. */
  #acknowledge(frame: ArrivedFrame, finished: Finished): void {
    const acks = this.#acks.get(frame.src) ?? { committed: [], rejected: [] };
    this.#acks.set(frame.src, acks);
    acks[finished === 'rejected' ? 'rejected' : 'committed'].push(frame.id);
    this.#gathering ??= this.#options.clock.timer(this.#options.limits.ackGatherMs, () => this.#sendAcks());
  }

  #sendAcks(): void {
    this.#gathering = undefined;
    const gathered = [...this.#acks];
    this.#acks.clear();
    for (const [src, { committed, rejected }] of gathered) {
      const generation = BigInt(this.#options.generationOf(src));
      this.#options.link.acknowledge(src, FrameAcks.encode({ generation, committed, rejected, afterMs: 0 }).finish());
    }
  }

  #park(frame: ArrivedFrame, why: string): void {
    this.#options.park(frame, why).then(
      () => this.#finish(frame, 'rejected'),
      (error: unknown) => {
        this.#options.failed(error);
        frame.nak(1_000);
      },
    );
  }
}

/** For no reason of its own: the transaction was given up. */
const isFailure = (outcome: Outcome): boolean => outcome.type === 'fault' && outcome.code === 'internal';

const position = (thing: EarlyThing): number => (thing.type === 'intake' ? thing.n : (thing.entries[0]?.seq ?? 0));

const earlyKey = (operation: Operation): string => {
  if (operation.type === 'intake') return `i:${operation.src}:${streamKey(operation.stream)}`;
  return operation.type === 'apply' ? `a:${operation.log}` : '';
};

/** Intake and its log's other operations share a lane, so that a batch decides them in order. */
function laneOfOperation(operation: Operation): number {
  if (operation.type === 'apply') return laneOf(operation.log);
  if (operation.type === 'refused') return laneOf(operation.author);
  if (!('target' in operation)) return laneOf(operation.log);
  return laneOfTarget(operation.target);
}

export const laneOfTarget = (target: Target): number =>
  'log' in target ? laneOf(target.log) : laneOf(BigInt.asUintN(63, target.pair.low ^ target.pair.high));

function intakeOperation(intake: Intake, src: number, generation: number): IntakeOperation {
  const isPair = intake.low !== 0n;
  const stream: Stream = isPair ? { a: intake.low, b: intake.high } : { a: intake.log, b: 0n };
  if (intake.n < 1n || intake.kind < 9 || intake.kind > 23) throw new RangeError('not an intake');
  return {
    type: 'intake',
    src,
    generation,
    // A direct conversation is addressed by its pair until both sides know its log, and always may be.
    target: isPair ? { pair: { low: intake.low, high: intake.high } } : { log: intake.log },
    stream,
    n: Number(intake.n),
    lowestOpen: Number(intake.lowestOpen),
    epoch: intake.epoch,
    author: intake.author,
    clientEntryId: intake.clientEntryId,
    kind: intake.kind,
    body: intake.body,
  };
}

function refusedOperation(refused: IntakeRefused, src: number): Operation {
  const pair = { low: refused.low, high: refused.high };
  const target: Target = refused.log === 0n ? { pair } : { log: refused.log };
  return {
    type: 'refused',
    src,
    target,
    stream: refused.low === 0n ? { a: refused.log, b: 0n } : streamOfPair(pair),
    n: Number(refused.n),
    generation: Number(refused.generation),
    author: refused.author,
    clientEntryId: refused.clientEntryId,
    code: refused.code,
    text: refused.text,
  };
}
