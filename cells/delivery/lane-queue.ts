// What waits in a lane, and how much of it the next transaction takes.
//
// What people of this cell wait for goes before what other cells sent, of which a backlog may have come; a quarter of a transaction stays
// for the others. Both have bounds of their own, so that neither takes the place of the other. An operation of another cell that
// found no place would come again with its whole frame, and taking frames that find no place would cost the time of
// committing those that have one: so the queue says in time that it is crowded, and when it has room again.
import { bytesOf, type Operation, type Submission, weightOf } from './operations.ts';

export interface QueueLimits {
  /** Of one transaction. */
  readonly batchEntriesMax: number;
  readonly batchBytesMax: number;
  /** Operations that may wait, and their bytes: of this cell's people, and as much of other cells. */
  readonly queueMax: number;
  readonly queueBytesMax: number;
}

/** Submissions of one kind that wait. */
interface Waiting {
  operations: number;
  bytes: number;
}

export class LaneQueue {
  readonly #limits: QueueLimits;
  #waiting: Submission[] = [];
  #entries = 0;
  readonly #own: Waiting = { operations: 0, bytes: 0 };
  readonly #far: Waiting = { operations: 0, bytes: 0 };
  #isCrowded = false;
  #roomy: (() => void) | undefined;
  /** The last batch had no room for anything of another cell. */
  #farWaits = false;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#waiting.length;
  }

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#own.bytes + this.#far.bytes;
  }

  /** Whether half of what other cells may have waiting here does wait: no more frames, until there is room, when `roomy` is called. */
  isCrowded(roomy: () => void): boolean {
    if (this.#isCrowded) this.#roomy = roomy;
    return this.#isCrowded;
  }

  /** False when it is full. */
  add(submission: Submission): boolean {
    const { queueMax, queueBytesMax } = this.#limits;
    const { operations, bytes } = this.#kindOf(submission);
    if (operations >= queueMax || bytes + bytesOf(submission.operation) > queueBytesMax) return false;
    this.#waiting.push(submission);
    this.#count(submission, 1);
    this.#isCrowded ||= this.#farExceeds(crowdedShare);
    return true;
  }

  /** In front of everything that waits, full or not. */
  putBack(submissions: readonly Submission[]): void {
    this.#waiting.unshift(...submissions);
    for (const submission of submissions) this.#count(submission, 1);
  }

  /** The next batch, each kind in its order. What found no room is first next time. */
  take(): Submission[] {
    const { batchEntriesMax, batchBytesMax } = this.#limits;
    const [own, far] = [this.#waiting.filter(isOwn), this.#waiting.filter((submission) => !isOwn(submission))];
    const share = own.length > 0 && far.length > 0 ? 1 - farShare : 1;
    const batch = new Batch();
    if (this.#farWaits) batch.fill(far, { entries: batchEntriesMax * farShare, bytes: batchBytesMax * farShare });
    batch.fill(own, { entries: batchEntriesMax * share, bytes: batchBytesMax * share });
    const farBefore = far.length;
    for (const kind of [far, own]) batch.fill(kind, { entries: batchEntriesMax, bytes: batchBytesMax });
    this.#farWaits = far.length > 0 && far.length === farBefore && !this.#farWaits;
    this.#waiting = [...own, ...far];
    for (const submission of batch.gone) this.#count(submission, -1);
    if (this.#isCrowded && !this.#farExceeds(roomyShare)) this.#tellRoom();
    return batch.submissions;
  }

  #tellRoom(): void {
    const roomy = this.#roomy;
    this.#isCrowded = false;
    this.#roomy = undefined;
    roomy?.();
  }

  #kindOf(submission: Submission): Waiting {
    return isOwn(submission) ? this.#own : this.#far;
  }

  /** `by`: 1 for what came, -1 for what left. */
  #count(submission: Submission, by: 1 | -1): void {
    const kind = this.#kindOf(submission);
    kind.operations += by;
    kind.bytes += by * bytesOf(submission.operation);
    this.#entries += by * weightOf(submission.operation);
  }

  #farExceeds(share: number): boolean {
    const { queueMax, queueBytesMax } = this.#limits;
    return this.#far.operations > queueMax * share || this.#far.bytes > queueBytesMax * share;
  }
}

/** What a transaction takes. */
class Batch {
  readonly submissions: Submission[] = [];
  /** All that left the queue, those that may not run any more included. */
  readonly gone: Submission[] = [];
  #entries = 0;
  #bytes = 0;

  /** Takes from the front of this list while it fits; the first of all always does. */
  fill(list: Submission[], room: { readonly entries: number; readonly bytes: number }): void {
    let taken = 0;
    for (const submission of list) {
      const size = bytesOf(submission.operation);
      const weight = weightOf(submission.operation);
      const fits = this.#entries + weight <= room.entries && this.#bytes + size <= room.bytes;
      if (this.submissions.length > 0 && !fits) break;
      taken += 1;
      this.gone.push(submission);
      if (!mayStillRun(submission)) continue;
      this.#entries += weight;
      this.#bytes += size;
      this.submissions.push(submission);
    }
    list.splice(0, taken);
  }
}

/** Of a batch, what is kept for other cells while people of this one wait. */
const farShare = 1 / 4;
/** Of the queue's limits: other cells' operations above the one are a crowd, below the other none. A frame fits in between. */
const crowdedShare = 1 / 2;
const roomyShare = 1 / 4;
const fromAfar: ReadonlySet<Operation['type']> = new Set(['apply', 'intake', 'refused']);
const isOwn = ({ operation }: Submission): boolean => !fromAfar.has(operation.type);

export function mayStillRun({ mayRun, settle }: Submission): boolean {
  if (!mayRun || mayRun()) return true;
  settle({ type: 'fault', code: 'earlier_faulted' });
  return false;
}
