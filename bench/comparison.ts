// What was written against what is there: pure. Equal means the same people said the same texts in the same order.

import type { Line } from './data-set.ts';

export interface Difference {
  readonly at: number;
  readonly wanted: Line | undefined;
  readonly found: Line | undefined;
}

export interface Comparison {
  readonly missing: number;
  /** There more often than written; a text nobody wrote counts here too. */
  readonly doubled: number;
  /** In the wrong place although it is there as often as it was written. */
  readonly reordered: number;
  readonly first: Difference | undefined;
}

const keyOf = ({ sender, text }: Line): string => `${sender} ${text}`;

function counts(lines: readonly Line[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of lines) found.set(keyOf(line), (found.get(keyOf(line)) ?? 0) + 1);
  return found;
}

export function compare(wanted: readonly Line[], found: readonly Line[]): Comparison {
  const differ = (at: number): boolean => {
    const [a, b] = [wanted[at], found[at]];
    return a === undefined || b === undefined || keyOf(a) !== keyOf(b);
  };
  let at = 0;
  while (at < Math.max(wanted.length, found.length) && !differ(at)) at += 1;
  if (at === wanted.length && at === found.length) return { missing: 0, doubled: 0, reordered: 0, first: undefined };
  const left = counts(found);
  let missing = 0;
  for (const [key, count] of counts(wanted)) {
    const there = left.get(key) ?? 0;
    missing += Math.max(0, count - there);
    left.set(key, there - count);
  }
  const doubled = [...left.values()].reduce((sum, count) => sum + Math.max(0, count), 0);
  const reordered = missing + doubled > 0 ? outOfOrder(wanted, found) : wanted.filter((_line, place) => differ(place)).length;
  return { missing, doubled, reordered, first: { at, wanted: wanted[at], found: found[at] } };
}

/** Lines that come before one that should precede them: the k-th of equal lines stands for the k-th written. */
function outOfOrder(wanted: readonly Line[], found: readonly Line[]): number {
  const places = new Map<string, number[]>();
  for (const [place, line] of wanted.entries()) {
    const known = places.get(keyOf(line));
    if (known === undefined) places.set(keyOf(line), [place]);
    else known.push(place);
  }
  let highest = -1;
  let wrong = 0;
  for (const line of found) {
    const place = places.get(keyOf(line))?.shift();
    if (place === undefined) continue;
    if (place < highest) wrong += 1;
    else highest = place;
  }
  return wrong;
}
