// What the SDK found wrong in a history, for a person.
import type { Hop, ProofKind, ProofReport } from '@weft/client/judge.ts';

const what: Readonly<Record<ProofKind, string>> = {
  missing: 'are left out',
  doubled: 'stand there twice',
  rewritten: 'are not what was written',
  reordered: 'have changed places',
  forked: 'are another history than the one that was told before',
};

const where: Readonly<Record<Hop, string>> = {
  home: 'changed on the way from your cell',
  owner: 'your cell has them wrong, the cell that keeps the order signed others',
  witness: 'the cell that keeps the order contradicts what it signed before',
  nowhere: 'no other cell could be asked',
};

/** Undefined for what was put right before anybody could have read it otherwise: lost and doubled pushes. */
export function proofLine({ kind, from, to, agreed, repaired }: ProofReport, name: string): string | undefined {
  if (repaired && (kind === 'missing' || kind === 'doubled')) return undefined;
  const entries = from === to ? `entry ${from}` : `entries ${from} to ${to}`;
  return repaired
    ? `! with ${name}, ${entries} came otherwise than written; what /history shows now is right`
    : `! with ${name}, ${entries} ${what[kind]}: ${where[agreed]}`;
}
