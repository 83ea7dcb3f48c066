// What `npm run simulate` is asked for. Throws with a plain sentence on anything else.

export interface SimulateArguments {
  readonly what: 'seed' | 'seeds' | 'bench' | 'mutations' | 'help';
  readonly from: number;
  readonly to: number;
  readonly jobs: number;
  readonly replays: boolean;
  /** Cells are restored from backups in more of the seeds; undefined: in a few. */
  readonly restores: true | undefined;
  /** Owners change, by handover and by takeover at once. */
  readonly owners: boolean;
  /** Name of the guard that is off, or how it begins. */
  readonly mutation: string | undefined;
}

export const usage = `npm run simulate -- [--seed N [--replay] [--mutation NAME] | --seeds A..B [--jobs N]] [--restores] [--owners] | --bench | --mutations

  --seed 42            one run: what happened, the hash of its trace, what is wrong with it
  --seed 42 --replay   the same as a timeline
  --mutation NAME      with --seed: with that guard off (docs/mutations.md; the beginning of its name is enough); what is found
                       is shrunk to the faults it needs and told as a timeline; cells are restored where that guard is about it
  --seeds 1..100000    one run after another; stops at the first violation and shrinks its faults
  --restores           with --seed and --seeds: cells are restored from backups in three seeds of ten, not in one
  --owners             with --seed and --seeds: logs change their owners, by handovers and takeovers at once, and no cell is
                       restored unless that is asked for, too
  --jobs 2             so many processes
  --bench              the large fabric: messages a CPU second, in the first run of a process and once it is warm (half a minute)
  --mutations          switches each guard off and writes docs/mutations.md
  --help               this`;

const seedMax = 100_000_000;
const jobsMax = 64;

const byDefault: SimulateArguments = {
  what: 'seed',
  from: 42,
  to: 42,
  jobs: 1,
  replays: false,
  restores: undefined,
  owners: false,
  mutation: undefined,
};

export function readArguments(args: readonly string[]): SimulateArguments {
  const rest = [...args];
  let found = byDefault;
  if (args.includes('--help') || args.includes('-h')) return { ...found, what: 'help' };
  let whats = 0;
  for (let flag = rest.shift(); flag !== undefined; flag = rest.shift()) {
    if (flag === '--seed') {
      const seed = numberOf(flag, rest.shift(), seedMax);
      found = { ...found, what: 'seed', from: seed, to: seed };
    } else if (flag === '--seeds') found = { ...found, what: 'seeds', ...rangeOf(rest.shift()) };
    else if (flag === '--jobs') found = { ...found, jobs: numberOf(flag, rest.shift(), jobsMax) };
    else if (flag === '--mutation') found = { ...found, mutation: rest.shift() ?? '' };
    else if (flag === '--replay') found = { ...found, replays: true };
    else if (flag === '--restores') found = { ...found, restores: true };
    else if (flag === '--owners') found = { ...found, owners: true };
    else if (flag === '--bench' || flag === '--mutations') found = { ...found, what: flag === '--bench' ? 'bench' : 'mutations' };
    else throw new Error(`there is no ${flag}`);
    if (!['--jobs', '--replay', '--restores', '--owners', '--mutation'].includes(flag)) whats += 1;
  }
  if (whats > 1) throw new Error('one of --seed, --seeds, --bench and --mutations at a time');
  if (found.replays && found.what !== 'seed') throw new Error('--replay tells the story of one --seed');
  if (found.mutation !== undefined && found.what !== 'seed') throw new Error('--mutation switches a guard off for one --seed');
  return found;
}

function numberOf(flag: string, text: string | undefined, most: number): number {
  const value = Number(text);
  if (text === undefined || !/^\d+$/.test(text) || value < 1 || value > most) throw new Error(`${flag} takes a number from 1 to ${most}`);
  return value;
}

function rangeOf(text: string | undefined): { from: number; to: number } {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text ?? '') ?? [];
  const range = { from: Number(from), to: Number(to) };
  if (from === undefined || to === undefined || range.from < 1 || range.to < range.from || range.to > seedMax)
    throw new Error(`--seeds takes a range such as 1..1000, up to ${seedMax}`);
  return range;
}
