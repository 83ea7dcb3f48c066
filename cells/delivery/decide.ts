// The decision of one write transaction (R4): a pure function from operations and locked facts to outcomes and writes.
import { decideAppend } from './decide-append.ts';
import { decideApply } from './decide-apply.ts';
import { decideIntake, decideRefused, overtakenIn } from './decide-intake.ts';
import { decideOwner } from './decide-owner.ts';
import type { IntakeOperation, Operation, Outcome } from './operations.ts';
import type { Facts, Writes } from './ports.ts';
import { type DecideContext, WorkingSet } from './working-set.ts';

export interface Decision {
  /** One per operation, in their order. */
  readonly outcomes: readonly Outcome[];
  readonly writes: Writes;
}

export function decide(operations: readonly Operation[], facts: Facts, context: DecideContext & { readonly lane: number }): Decision {
  const work = new WorkingSet(facts, context);
  const seen = { faulted: new Set<string>(), overtaken: overtakenIn(operations, work) };
  const outcomes = operations.map((operation) => decideOne(operation, work, seen));
  return { outcomes, writes: work.writes(context.lane) };
}

/** What the operations of one decision tell of each other. */
interface Seen {
  readonly faulted: Set<string>;
  readonly overtaken: ReadonlySet<IntakeOperation>;
}

function decideOne(operation: Operation, work: WorkingSet, { faulted, overtaken }: Seen): Outcome {
  switch (operation.type) {
    case 'append':
      return decideAppend(operation, work, faulted);
    case 'intake':
      return decideIntake(operation, work, overtaken);
    case 'apply':
      return decideApply(operation, work);
    case 'refused':
      return decideRefused(operation, work);
    default:
      return decideOwner(operation, work);
  }
}
