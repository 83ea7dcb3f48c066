// I17: nothing corrupts a history here, so whatever fails, nobody's device may say that one is wrong.
import { isOfHistory } from '@weft/client/judge.ts';
import type { Person } from './people.ts';
export const audit = (people: readonly Pick<Person, 'name' | 'reports'>[]) =>
  people.flatMap(({ name, reports }) =>
    reports.filter(isOfHistory).map(({ kind, log, from, to, agreed }) => ({
      invariant: 'I17' as const,
      text: `${name} says that log ${log} is ${kind} from ${from} to ${to}, right up to ${agreed}`,
    })),
  );
