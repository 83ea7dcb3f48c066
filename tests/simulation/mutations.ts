// Guards switched off, one at a time, from outside. A guard whose mutation nothing notices does not count as tested.
import { AntiEntropy } from '@weft/cells/delivery/anti-entropy.ts';
import { IntakeRelay } from '@weft/cells/delivery/intake-relay.ts';
import { Lane } from '@weft/cells/delivery/lane.ts';
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { Operation, Submission } from '@weft/cells/delivery/operations.ts';
import { Ownership } from '@weft/cells/delivery/ownership.ts';
import type { AppendKey } from '@weft/cells/delivery/ports.ts';
import { Puller } from '@weft/cells/delivery/puller.ts';
import { Relay } from '@weft/cells/delivery/relay.ts';
import { TailServer } from '@weft/cells/delivery/tail-server.ts';
import { WorkingSet } from '@weft/cells/delivery/working-set.ts';
import { AppendOrder } from '@weft/cells/edge/append-order.ts';
import { Beats } from '@weft/cells/link/beats.ts';
import { Hub } from '@weft/cells/push/hub.ts';
import { PullAnswer } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { answersForgotten, digestIgnored, holesTaken, ownEntriesShownTwice, resentLast, resentUnderNewIds } from './careless-client.ts';
import { acknowledgedBeforeApply, attemptNeverRaised, forgottenAtTheBrokersAnswer, messageIdWithoutSource } from './lying-bus.ts';
import { everybodyEver, headsJump, knownFor, lying, neverUnsure, readsAboveTheLast, toldBeforeCommit, withStates } from './lying-store.ts';
import { MemoryCell } from './memory-cell.ts';
import { MemoryTables } from './memory-tables.ts';
import { type Mutation, patched } from './mutation.ts';
import { asOfTheNewestEpoch, withoutEpochs } from './outlived-owner.ts';
import { type OwnerScenario, takeovers } from './owner-changes.ts';

export interface NamedMutation {
  /** The rule that is broken. */
  readonly breaks: string;
  /** Noticed within so many seeds. */
  readonly seedsMax: number;
  /** A fresh one for each run: some keep what they have seen. */
  readonly mutate: () => Mutation;
  /** Owners change meanwhile. */
  readonly owners?: OwnerScenario;
  /** Cells are restored from backups meanwhile; else none is, so that what is noticed is what this guard is for. */
  readonly restores?: boolean;
}

const off = (breaks: string, seedsMax: number, mutate: () => Mutation): NamedMutation => ({ breaks, seedsMax, mutate });

const restored = (seedsMax: number, mutate: () => Mutation): NamedMutation => ({ ...off('R25', seedsMax, mutate), restores: true });

/** Operations of other cells on their way into a lane. */
const submitted = (change: (operation: Operation) => Operation): Mutation => ({
  patch: () =>
    patched({
      of: Lane.prototype,
      method: 'submit',
      make: (original) =>
        function (this: Lane, submission: Submission) {
          return Reflect.apply(original, this, [{ ...submission, operation: change(submission.operation) }]);
        },
    }),
});

/** A method that does nothing, and answers that. */
const silenced = (of: object, method: string, answer?: unknown): Mutation => ({
  patch: () => patched({ of, method, make: () => () => answer }),
});

/** What would find a lost frame later is off as well: two guards for one loss. */
const nothingCompared = (): Mutation => ({
  patch: () =>
    patched(
      { of: Beats.prototype, method: 'committed', make: () => () => undefined },
      { of: AntiEntropy.prototype, method: 'compare', make: () => () => Promise.resolve([]) },
    ),
});

const asIfFromOwner = (operation: Operation): Operation => {
  const first = operation.type === 'apply' ? operation.entries[0] : undefined;
  return operation.type === 'apply' && first ? { ...operation, src: ownerOf(first) } : operation;
};

const asIfFromDecider = (operation: Operation): Operation => {
  if (operation.type !== 'refused') return operation;
  const { target } = operation;
  return { ...operation, src: birthCell('log' in target ? target.log : target.pair.low) };
};

/** A replica says that it holds no more than it was told. */
const noTail = PullAnswer.encode({
  result: { $case: 'page', value: { snapshot: undefined, entries: [], head: undefined, epochs: [] } },
}).finish();

const marksOverwrite = (): Mutation => ({
  patch: () =>
    patched({
      of: MemoryTables.prototype,
      method: 'toldMarks',
      make: (original) =>
        async function (this: MemoryTables, dst: number, marks: readonly { log: bigint; user: bigint }[]) {
          const waiting = await this.readWaitingMarks(dst, Number.MAX_SAFE_INTEGER);
          const named = waiting.filter((each) => marks.some(({ log, user }) => log === each.log && user === each.user));
          return Reflect.apply(original, this, [dst, named]);
        },
    }),
});

export const mutations: Readonly<Record<string, NamedMutation>> = {
  'dedupe: what is stored already is not looked up': off('R4', 100, () => ({
    store: lying(() => ({ known: () => undefined })),
    entriesNotUnique: true,
  })),
  'dedupe: ids are known for a window of two seconds only': off('R4', 200, () => ({ store: knownFor(2_000), entriesNotUnique: true })),
  'dedupe: one id twice in a batch is two appends': off('R4', 200, () => ({
    patch: () =>
      patched({
        of: WorkingSet.prototype,
        method: 'known',
        make: () =>
          function (this: WorkingSet, key: AppendKey) {
            return this.facts.known(key);
          },
      }),
    entriesNotUnique: true,
  })),
  'ack after commit: accepted is told before the commit': off('R6', 100, () => ({ store: toldBeforeCommit })),
  'ack after commit: a frame is acknowledged before it is applied (without heads on beats, and digests)': off('R15, R16', 200, () => ({
    bus: acknowledgedBeforeApply,
    ...nothingCompared(),
  })),
  'commit: a lost answer is taken for a rollback': off('R5, R20', 200, () => ({ store: neverUnsure })),
  'contiguous apply: what lies beyond a hole is stored': off('R16', 100, () => ({
    store: lying(headsJump(Number.MAX_SAFE_INTEGER)),
  })),
  'contiguous apply: the head is off by one': off('R16', 100, () => ({ store: lying(headsJump(1)) })),
  'pull: nothing is ever pulled': off('R17', 100, () => silenced(Puller.prototype, 'want')),
  'attempt number: it is never raised, and the dedupe window swallows what is sent again': off('R14', 200, () => ({
    bus: attemptNeverRaised,
  })),
  'message id: it names neither source nor row': off('R14', 100, () => ({ bus: messageIdWithoutSource })),
  'ids: every cell makes them as if it were the first': off('R14', 100, () => ({ birthCell: 1 })),
  'intake number: any number is decided when it comes': off('R10', 200, () => ({
    store: lying(() => ({ decided: () => 0 })),
    ...submitted((operation) => (operation.type === 'intake' ? { ...operation, lowestOpen: operation.n } : operation)),
  })),
  'intake: it is sent once and never again': off('R9', 100, () => silenced(IntakeRelay.prototype, 'resend', Promise.resolve())),
  "author's home: any cell may speak for anybody": off('R11', 400, () =>
    submitted((operation) => (operation.type === 'intake' ? { ...operation, src: birthCell(operation.author) } : operation)),
  ),
  'permission: whoever was a member once may write': off('R7', 200, () => ({ store: everybodyEver() })),
  'limit: a group takes any number of members': off('R7', 400, () => ({
    store: lying((facts) => withStates(facts, (state) => ({ ...state, membersMax: Number.MAX_SAFE_INTEGER }))),
  })),
  'refusal: any cell may refuse an append': off('R12', 400, () => submitted(asIfFromDecider)),
  "outbox: a frame is forgotten at the broker's answer (without heads on beats, and digests)": off('R13', 200, () => ({
    bus: forgottenAtTheBrokersAnswer,
    ...nothingCompared(),
  })),
  'outbox: what is unacknowledged is never sent again': off('R13', 100, () => silenced(Relay.prototype, 'resend', Promise.resolve())),
  'outbox: rows are read above the last id, not as unacknowledged ones': off('R13', 200, () => ({ store: readsAboveTheLast })),
  'owner: entries are applied from any cell': off('R16', 400, () => submitted(asIfFromOwner)),
  'fence: what an owner gives after its time is taken as if it were of the epoch in force': {
    ...off('R16, R24', 100, () => submitted(asOfTheNewestEpoch())),
    owners: takeovers,
  },
  'epochs: the list that a newer one has to be proved by is never taken': {
    ...off('R24', 100, () => submitted(withoutEpochs)),
    owners: takeovers,
  },
  'restore: the store goes on in the generation of its backup': restored(100, () => silenced(MemoryCell.prototype, 'raiseLife')),
  'restore: new epochs begin without the tails that replicas hold': restored(100, () =>
    silenced(TailServer.prototype, 'tail', Promise.resolve(noTail)),
  ),
  'restore: what is not known yet is answered for good': restored(400, () => silenced(Ownership.prototype, 'isWhole', true)),
  'restore: conversations open before the other cells have told which they know': restored(100, () =>
    silenced(Ownership.prototype, 'isBack', true),
  ),
  'order: what a faulted append holds back is decided before it': off('R8', 400, () => ({
    patch: () =>
      patched(
        { of: AppendOrder.prototype, method: 'arrive', make: () => () => 1 },
        { of: AppendOrder.prototype, method: 'mayRun', make: () => () => true },
      ),
  })),
  'push: heads that moved untold are never read, and the digest agrees with itself': off('R20, R21', 100, () =>
    silenced(Hub.prototype, 'catchUp', Promise.resolve()),
  ),
  'marks: a newer one that waits goes with the acknowledgement of an older one': off('R22', 400, marksOverwrite),
  'client: what it sends again has a new id': off('R4', 100, resentUnderNewIds),
  'client: what was unanswered is sent again after what is new': off('R8', 200, resentLast),
  'client: what was unanswered is never sent again': off('R8', 100, answersForgotten),
  'client: a digest that differs is ignored': off('R21', 400, digestIgnored),
  'client: what lies beyond a hole is shown': off('R21', 200, holesTaken),
  'client: what it is pushed a second time is shown a second time': off('R21', 200, ownEntriesShownTwice),
};
