// `npm run replay`: 7,168 real conversations through the running fabric, then every one read back from both members' cells.

import { type FabricOptions, runningFabric, withFabricOptions } from '@weft/local/fabric-options.ts';
import { inParallel } from '@weft/local/in-parallel.ts';
import { limits } from '@weft/proto/limits.ts';
import { Command } from 'commander';
import { type Actor, Troupe } from './actors.ts';
import { type Cast, castTalks, isSilent, monologuesOf } from './cast.ts';
import { Chaos } from './chaos.ts';
import { fetchDataSet, readDataSet } from './data-set.ts';
import { Handing } from './handing.ts';
import { Latency } from './latency.ts';
import { replayLimits } from './limits.ts';
import { type Played, play, type Score } from './play.ts';
import { readBack, type Verdict } from './read-back.ts';

interface Options extends FabricOptions {
  readonly conversations?: number;
  readonly kill: boolean;
  readonly handOver: boolean;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
const count = (value: number): string => value.toLocaleString('en-US');

/** A line at once and then every progressMs, until disposed. */
function progress(line: () => string): Disposable {
  const timer = setInterval(() => say(line()), replayLimits.progressMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function prepare(options: Options, cells: readonly string[]): Promise<Cast> {
  const { talks, leftOut } = await readDataSet(await fetchDataSet(say), options.conversations);
  const cast = castTalks(talks, cells);
  if (cast.people.length > replayLimits.peopleMax) throw new Error(`${cast.people.length} people are more than ${replayLimits.peopleMax}`);
  const messages = cast.threads.reduce((sum, { lines }) => sum + lines.length, 0);
  const silent = cast.people.filter(isSilent).length;
  say(
    `${count(talks.length)} conversations, ${count(messages)} messages, ${count(cast.people.length - silent)} people in ${cells.join(', ')}: ${count(cast.threads.length)} pairs`,
  );
  if (cast.unanswered > 0)
    say(`${count(cast.unanswered)} conversations have one writer only; ${silent} silent users, one in a cell, are the other side`);
  if (leftOut.tooLong + leftOut.withNul > 0)
    say(`left out: ${leftOut.tooLong} messages above 16 KiB, ${leftOut.withNul} with a NUL character`);
  return cast;
}

async function enact(cast: Cast, troupe: Troupe, score: Score): Promise<Played[]> {
  const start = performance.now();
  const total = cast.threads.reduce((sum, { lines }) => sum + lines.length, 0);
  let before = 0;
  using _progress = progress(() => {
    const { p50, p95 } = score.shown.table();
    const rate = Math.round((score.messages - before) / (replayLimits.progressMs / 1_000));
    before = score.messages;
    return `${count(score.messages)} of ${count(total)} messages, ${count(rate)}/s, send → shown p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms`;
  });
  const played = await inParallel(cast.threads, replayLimits.pairsActiveMax, (thread) => play(thread, troupe, score));
  const ms = performance.now() - start;
  say(`replayed ${count(score.messages)} messages in ${seconds(ms)} s: ${count(Math.round((score.messages / ms) * 1_000))} messages/s`);
  say(`send → shown: ${quantiles(score.shown)}`);
  say(`of that after leaving the writer’s outbox: ${quantiles(score.carried)}`);
  sayMonologues(cast);
  for (const [link, messages] of [...score.links].sort(([a], [b]) => (a < b ? -1 : 1)))
    say(`  ${link.padEnd(16)} ${count(messages).padStart(9)}`);
  return played;
}

function quantiles(latency: Latency): string {
  const { p50, p95, p99, max } = latency.table();
  return `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${max.toFixed(0)} ms`;
}

/** What one person writes without waiting for an answer, beyond what may be unanswered, waits in the outbox of its writer. */
function sayMonologues(cast: Cast): void {
  const { turns, messages, longest } = monologuesOf(cast, limits.appendsInFlightMax);
  const all = cast.threads.reduce((sum, { lines }) => sum + lines.length, 0);
  say(
    `  ${((100 * messages) / all).toFixed(1)} % of the messages are in ${count(turns)} monologues of more than ${limits.appendsInFlightMax}; the longest has ${count(longest)}`,
  );
}

function conclude(verdict: Verdict, score: Score, actors: Iterable<Actor>): number {
  const reports = [...actors].flatMap(({ person, reports }) =>
    reports.map((report) => ({ ...report, log: `${report.log}`, said: person.name })),
  );
  for (const difference of verdict.differences) say(`  ${difference}`);
  if (score.twice > 0) say(`${score.twice} messages were shown twice on a device`);
  say(`missing ${verdict.missing}, doubled ${verdict.doubled + score.twice}, reordered ${verdict.reordered}`);
  for (const report of reports.slice(0, replayLimits.reportsShownMax)) say(`  ${JSON.stringify(report)}`);
  say(`${count(reports.length)} times a device said that a history is wrong`);
  const wrong = verdict.missing + verdict.doubled + verdict.reordered + score.twice + verdict.differences.length + reports.length;
  return wrong === 0 ? 0 : 1;
}

async function run(options: Options): Promise<number> {
  const fabric = runningFabric(options);
  const cast = await prepare(
    options,
    fabric.cells.map(({ name }) => name),
  );
  let ready = 0;
  const gathering = progress(() => `${count(ready)} of ${count(cast.people.length)} people signed up`);
  const start = performance.now();
  await using troupe = await Troupe.gather(cast.people, fabric, () => {
    ready += 1;
  }).finally(() => gathering[Symbol.dispose]());
  say(`${count(ready)} people signed up and connected in ${seconds(performance.now() - start)} s`);
  const score: Score = { shown: new Latency(), carried: new Latency(), links: new Map(), talking: new Map(), messages: 0, twice: 0 };
  const chaos = new Chaos(options.data, say);
  const killing = options.kill ? chaos.run() : Promise.resolve();
  const handing = new Handing(fabric, score.talking);
  const moving = options.handOver ? handing.run() : Promise.resolve();
  // Rejections are met below; until then they must not end the process.
  killing.catch(() => undefined);
  const played = await enact(cast, troupe, score).finally(() => {
    chaos.stop();
    handing.stop();
  });
  await Promise.all([killing, moving]);
  if (options.handOver) say(`handed over meanwhile: ${count(handing.handed)} times, ${count(handing.missed)} could not be`);
  const conversations = 2 * played.length;
  let read = 0;
  using _progress = progress(() => `${count(read)} of ${count(conversations)} read back`);
  const verdict = await readBack(played, troupe, () => {
    read += 1;
  });
  say(
    `read back ${count(verdict.read)} conversations, each from both members’ cells${options.kill ? `; killed meanwhile: ${chaos.counts}` : ''}`,
  );
  return conclude(verdict, score, troupe.actors.values());
}

function command(): Command {
  const whole = (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) throw new Error(`a whole number from 1, not ${text}`);
    return value;
  };
  return withFabricOptions(new Command('replay'))
    .option('--conversations <n>', 'only the first n of the data set', whole)
    .option('--kill', 'kill a node, a nats-server and a PostgreSQL at random moments', false)
    .option('--hand-over', 'let conversations change their owners while people talk in them', false);
}

if (import.meta.main) {
  try {
    process.exitCode = await run(command().parse().opts<Options>());
  } catch (error) {
    say(`replay: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  // The connections are closed; a timer of a library must not hold the process.
  process.exit();
}
