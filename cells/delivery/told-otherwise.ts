// Facts as they are, but for what a guard that is switched off is told instead.
import type { Facts } from './ports.ts';

export function toldOtherwise(facts: Facts, other: Partial<Facts>): Facts {
  return {
    rows: facts.rows,
    states: facts.states,
    known: (key) => facts.known(key),
    stored: (log, seq) => facts.stored(log, seq),
    target: (log, seq) => facts.target(log, seq),
    pairLog: (pair) => facts.pairLog(pair),
    nextIntake: (stream) => facts.nextIntake(stream),
    waiting: (author, id, stream) => facts.waiting(author, id, stream),
    openIntake: (author) => facts.openIntake(author),
    decided: (key) => facts.decided(key),
    decidedOf: (stream) => facts.decidedOf(stream),
    lowestIntake: (stream) => facts.lowestIntake(stream),
    ownIntake: (stream) => facts.ownIntake(stream),
    above: (log) => facts.above(log),
    ...other,
  };
}
