// Who plays whom: pure. Each person of the data set has a home by a stable hash; people who meet again share one direct
// conversation, in which their talks follow one another; where only one person ever wrote, a silent listener is the other.

import { createHash } from 'node:crypto';
import type { Line, Talk } from './data-set.ts';

export interface Person {
  /** Name in the data set, or `silent-<cell>`. */
  readonly name: string;
  readonly cell: string;
}

/** Everything two people say to each other, in order: one direct conversation. */
export interface Thread {
  readonly people: readonly [Person, Person];
  readonly talks: number;
  readonly lines: readonly Line[];
}

export interface Cast {
  readonly people: readonly Person[];
  /** Longest first: they decide how long the replay takes. */
  readonly threads: readonly Thread[];
  /** Talks with a silent listener. */
  readonly unanswered: number;
}

const stableHash = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE();
const choose = (text: string, cells: readonly string[]): string => {
  const cell = cells[stableHash(text) % cells.length];
  if (cell === undefined) throw new RangeError('no cells');
  return cell;
};

export const isSilent = ({ name }: Person): boolean => name.startsWith('silent-');

export function castTalks(talks: readonly Talk[], cells: readonly string[]): Cast {
  const people = new Map<string, Person>();
  const person = (name: string, cell: string): Person => {
    const known = people.get(name) ?? { name, cell };
    people.set(name, known);
    return known;
  };
  const threads = new Map<string, { people: readonly [Person, Person]; talks: number; lines: Line[] }>();
  let unanswered = 0;
  for (const talk of talks) {
    const names = [...new Set(talk.lines.map(({ sender }) => sender))].sort();
    if (names.length > 2) throw new Error(`talk ${talk.id} has ${names.length} people`);
    const [first = ''] = names;
    const listener = choose(talk.id, cells);
    if (names.length === 1) unanswered += 1;
    const second = names[1];
    const other = second === undefined ? person(`silent-${listener}`, listener) : person(second, choose(second, cells));
    const pair = [person(first, choose(first, cells)), other] as const;
    const key = `${pair[0].name} ${pair[1].name}`;
    const thread = threads.get(key) ?? { people: pair, talks: 0, lines: [] };
    thread.talks += 1;
    thread.lines.push(...talk.lines);
    threads.set(key, thread);
  }
  const longestFirst = [...threads.values()].sort((a, b) => b.lines.length - a.lines.length);
  return { people: [...people.values()], threads: longestFirst, unanswered };
}

/** Lines of one person that follow one another: they are sent without waiting, the other answers after the last was shown. */
export function turnsOf(lines: readonly Line[]): Line[][] {
  const turns: Line[][] = [];
  for (const line of lines) {
    const turn = turns.at(-1);
    if (turn?.[0]?.sender === line.sender) turn.push(line);
    else turns.push([line]);
  }
  return turns;
}

/** Turns of more than `most` lines, and the longest turn of all. */
export function monologuesOf({ threads }: Pick<Cast, 'threads'>, most: number): { turns: number; messages: number; longest: number } {
  const found = { turns: 0, messages: 0, longest: 0 };
  for (const { lines } of threads)
    for (const { length } of turnsOf(lines)) {
      found.longest = Math.max(found.longest, length);
      if (length <= most) continue;
      found.turns += 1;
      found.messages += length;
    }
  return found;
}
