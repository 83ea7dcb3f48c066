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

  /** Half of what other cells may have waiting here does wait: their frames have to, until there is room. Then `roomy` is called. */
  mustWait(roomy: () => void): boolean {
    if (this.#isCrowded) this.#roomy = roomy;
    return this.#isCrowded;
  }

  /** False when it is full. */
  add(submission: Submission): boolean {
    const { queueMax, queueBytesMax } = this.#limits;
    const kind = this.#kindOf(submission);
    const bytes = bytesOf(submission.operation);
    if (kind.operations >= queueMax || kind.bytes + bytes > queueBytesMax) return false;
    this.#waiting.push(submission);
    this.#count(kind, { operations: 1, bytes, entries: weightOf(submission.operation) });
    this.#isCrowded ||= this.#farExceeds(crowdedShare);
    return true;
  }

  /** In front of everything that waits, full or not. */
  putBack(submissions: readonly Submission[]): void {
    this.#waiting.unshift(...submissions);
    for (const submission of submissions) {
      const { operation } = submission;
      this.#count(this.#kindOf(submission), { operations: 1, bytes: bytesOf(operation), entries: weightOf(operation) });
    }
  }

  /** The next batch, each kind in its order. What found no room is first next time. */
  take(): Submission[] {
    const { batchEntriesMax, batchBytesMax } = this.#limits;
    const [own, far] = [this.#waiting.filter(isOwn), this.#waiting.filter((submission) => !isOwn(submission))];
    const share = own.length > 0 && far.length > 0 ? 1 - farShare : 1;
    const batch = new Batch();
    const fill = (kind: Waiting, list: Submission[], part: number): void =>
      this.#count(kind, batch.fill(list, { entries: batchEntriesMax * part, bytes: batchBytesMax * part }), -1);
    if (this.#farWaits) fill(this.#far, far, farShare);
    fill(this.#own, own, share);
    const farBefore = far.length;
    fill(this.#far, far, 1);
    fill(this.#own, own, 1);
    this.#farWaits = far.length > 0 && far.length === farBefore && !this.#farWaits;
    this.#waiting = [...own, ...far];
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
  #count(kind: Waiting, { operations, bytes, entries }: Waiting & { readonly entries: number }, by: 1 | -1 = 1): void {
    kind.operations += by * operations;
    kind.bytes += by * bytes;
    this.#entries += by * entries;
  }

  #farExceeds(share: number): boolean {
    const { queueMax, queueBytesMax } = this.#limits;
    return this.#far.operations > queueMax * share || this.#far.bytes > queueBytesMax * share;
  }
}

/** What a transaction takes. */
class Batch {
  readonly submissions: Submission[] = [];
  #entries = 0;
  #bytes = 0;

  /** Takes from the front of this list while it fits; the first of all always does. Gives what left it, with those that may not run any more. */
  fill(list: Submission[], room: { readonly entries: number; readonly bytes: number }): Waiting & { readonly entries: number } {
    const gone = { operations: 0, bytes: 0, entries: 0 };
    for (const submission of list) {
      const size = bytesOf(submission.operation);
      const weight = weightOf(submission.operation);
      const fits = this.#entries + weight <= room.entries && this.#bytes + size <= room.bytes;
      if (this.submissions.length > 0 && !fits) break;
      gone.operations += 1;
      gone.bytes += size;
      gone.entries += weight;
      if (!mayStillRun(submission)) continue;
      this.#entries += weight;
      this.#bytes += size;
      this.submissions.push(submission);
    }
    list.splice(0, gone.operations);
    return gone;
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
