// `npm run simulate`: one seed, many seeds, the bench, the mutations.
import { execFileSync } from 'node:child_process';
import { readArguments, type SimulateArguments, usage } from './arguments.ts';
import { runBench } from './bench.ts';
import { describeFault } from './fault.ts';
import { runJobs, work } from './jobs.ts';
import { writeMutations } from './mutation-table.ts';
import { mutations } from './mutations.ts';
import { handoversAndTakeovers, type OwnerScenario } from './owner-changes.ts';
import type { SeedSum } from './run-seeds.ts';
import { shrink } from './shrink.ts';
import { storyOf } from './story.ts';
import { type Verdict, World } from './world.ts';

const hourMs = 3_600_000;

function commitOf(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'no commit';
  }
}

const ownersOf = ({ owners }: SimulateArguments): OwnerScenario | undefined => (owners ? handoversAndTakeovers : undefined);

async function runSeed(args: SimulateArguments): Promise<boolean> {
  const { from: seed, replays, restores } = args;
  const world = new World({ seed, restores, owners: ownersOf(args) });
  world.trace.keeps = replays;
  const verdict = await world.run();
  if (replays) console.log(storyOf(world, verdict).join('\n'));
  else {
    const { counts, restMs, hash } = verdict;
    console.log(`seed ${seed}: trace ${hash}, ${describeCounts(counts)}, at rest ${restMs / 1_000} s after the healing`);
    for (const wrong of verdict.wrong) console.log(wrong);
  }
  return verdict.wrong.length === 0;
}

const describeCounts = (counts: Verdict['counts']): string =>
  Object.entries(counts)
    .map(([what, many]) => `${many} ${what}`)
    .join(', ');

/** One seed with a guard off: what the faults it needs are, and how it came about. False when something was found. */
async function runMutated(args: SimulateArguments): Promise<boolean> {
  const { from: seed, mutation = '' } = args;
  const owners = ownersOf(args);
  const named = Object.keys(mutations).filter((name) => name.startsWith(mutation));
  const [guard] = named;
  if (guard === undefined || (named.length > 1 && !named.includes(mutation)))
    throw new Error(`${named.length} guards begin with "${mutation}": docs/mutations.md names them`);
  const { mutate, ...meant } = mutations[named.includes(mutation) ? mutation : guard] as (typeof mutations)[string];
  const restores = args.restores ?? meant.restores ?? false;
  const found = await new World({ seed, restores, owners, mutation: mutate() }).run();
  if (found.wrong.length === 0) {
    console.log(`seed ${seed}: nothing wrong was found with this guard off`);
    return true;
  }
  const least = await shrink(found, { mutate, owners });
  const world = new World({ seed, faults: least.faults, owners, mutation: mutate() });
  world.trace.keeps = true;
  const verdict = await world.run();
  console.log(`${found.faults.length} faults, of which it needs ${least.faults.length}`);
  console.log(storyOf(world, verdict).join('\n'));
  return false;
}

async function runMany(args: SimulateArguments): Promise<boolean> {
  const { from, to, jobs, restores, owners } = args;
  const startedMs = performance.now();
  let ran = 0;
  let sent = 0;
  let virtualMs = 0;
  let saidMs = startedMs;
  let violation: Verdict | undefined;
  const rate = (): string => {
    const seconds = (performance.now() - startedMs) / 1_000;
    return `${ran} seeds, ${sent} messages, ${(virtualMs / hourMs).toFixed(2)} virtual hours; ${(ran / seconds).toFixed(1)} seeds/s`;
  };
  await runJobs({
    from,
    to,
    jobs,
    restores,
    owners,
    ran: (sum: SeedSum) => {
      ran += sum.ran;
      sent += sum.sum.sent;
      virtualMs += sum.sum.virtualMs;
      if (sum.violation && (!violation || sum.violation.seed < violation.seed)) violation = sum.violation;
      if (performance.now() - saidMs < 5_000) return;
      saidMs = performance.now();
      console.log(rate());
    },
  });
  console.log(rate());
  if (!violation) {
    console.log('nothing wrong was found');
    return true;
  }
  console.log(`\nseed ${violation.seed} at ${commitOf()}: ${violation.faults.length} faults; leaving out what is not needed …`);
  const least = await shrink(violation, { owners: ownersOf(args) });
  for (const fault of least.faults) console.log(`  ${describeFault(fault)}`);
  for (const wrong of least.wrong) console.log(wrong);
  console.log(
    `the story: npm run simulate -- --seed ${violation.seed}${restores ? ' --restores' : ''}${owners ? ' --owners' : ''} --replay`,
  );
  return false;
}

async function main(): Promise<boolean> {
  const args = readArguments(process.argv.slice(2));
  if (args.what === 'help') {
    console.log(usage);
    return true;
  }
  if (args.what === 'seed') return args.mutation === undefined ? runSeed(args) : runMutated(args);
  if (args.what === 'seeds') return runMany(args);
  return args.what === 'bench' ? runBench() : writeMutations((line) => console.log(line));
}

if (process.argv[2] === '--worker') work();
else {
  try {
    process.exitCode = (await main()) ? 0 : 1;
  } catch (error) {
    console.error(`simulate: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exitCode = 2;
  }
}
