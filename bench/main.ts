// `npm run bench -- [scenario…]`: starts a private fabric of two cells (or takes the one on --data), measures, writes the results.

import { resolve } from 'node:path';
import { Command } from 'commander';
import { barePath } from './bare-path.ts';
import { chainCost } from './chain-cost.ts';
import { attach, type BenchFabric, startPrivate } from './fabric.ts';
import { hashingShares } from './hashing-share.ts';
import { benchLimits } from './limits.ts';
import { type Bench, gather, measure } from './measure.ts';
import { describeProfiles } from './profile.ts';
import { type BenchReport, describeRun, holds, type ScenarioReport, table, write } from './report.ts';
import { type Scenario, type Sizes, scenarios } from './scenarios.ts';
import { sealCost } from './seal-cost.ts';
import { BenchUsers } from './users.ts';

interface Options {
  readonly data?: string;
  readonly portBase?: number;
  readonly seconds: number;
  readonly cells: string;
  readonly nodes: number;
  readonly reset: boolean;
  readonly profile?: string;
  readonly smoke: boolean;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const whole = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`a whole number from 1, not ${text}`);
  return value;
};

function command(): Command {
  return new Command('bench')
    .argument('[scenario...]', `which to run, all but chain-cost when none is named: ${names.join(', ')}`)
    .option('--data <dir>', 'use the fabric that runs on this data folder instead of a private one')
    .option('--port-base <n>', 'first port of the private fabric', whole)
    .option('--seconds <n>', 'measured time of each scenario', whole, benchLimits.measuredSecondsDefault)
    .option('--cells <names>', 'cells of the private fabric', 'eu-1,eu-2')
    .option('--nodes <n>', 'nodes of a cell, all taking connections', whole, 1)
    .option('--reset', 'begin with empty stores instead of what earlier runs left', false)
    .option('--profile <dir>', 'write CPU profiles of the private nodes there and say where their time goes')
    .option('--smoke', 'a tiny run of every scenario that asserts no number', false);
}

/** Measured in this process. */
const costs = { seal: sealReport, chain: chainReport } as const;
type Cost = keyof typeof costs;
const isCost = (name: string): name is Cost => name in costs;
/** Three fabrics in turns. */
const share = 'chain-cost';
/** On the database of the first cell. */
const yardstick = 'bare';
const names = [yardstick, ...scenarios.map(({ name }) => name), ...Object.keys(costs), share];

function chosen(asked: readonly string[]): { readonly loads: readonly Scenario[]; readonly costs: readonly Cost[] } {
  const unknown = asked.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`no scenario ${unknown.join(', ')}; there are ${names.join(', ')}`);
  if (asked.length === 0) return { loads: scenarios, costs: ['seal', 'chain'] };
  return { loads: scenarios.filter(({ name }) => asked.includes(name)), costs: asked.filter(isCost) };
}

function sealReport(smoke: boolean): ScenarioReport {
  const costs = [1, 12, 100].map((entries) => sealCost(entries, smoke ? 50 : 1_000));
  const figures = costs.map((cost) => ({
    name: `${cost.entriesPerFrame} a frame`,
    value: cost.usPerMessage,
    unit: 'µs a message',
    better: 'less' as const,
  }));
  return { name: 'seal', title: 'sealing and opening between cells, CPU of one core', figures, wrong: [], notes: [], detail: costs };
}

function chainReport(smoke: boolean): ScenarioReport {
  const cost = chainCost(smoke ? 50 : 1_000);
  const figures = [
    { name: 'an entry', value: cost.usPerEntry, unit: 'µs', better: 'less' as const },
    { name: 'prev in an entry', value: cost.wireBytesPerEntry, unit: 'bytes', must: 64, better: 'less' as const },
  ];
  return { name: 'chain', title: 'hash chain, made or checked once, CPU of one core', figures, wrong: [], notes: [], detail: cost };
}

async function run(asked: readonly string[], options: Options): Promise<number> {
  const { loads, costs: measured } = chosen(asked);
  const sizes: Sizes = options.smoke
    ? { warmUpMs: 200, measuredMs: 400, scale: 0.01 }
    : { warmUpMs: benchLimits.warmUpMs, measuredMs: options.seconds * 1_000, scale: 1 };
  const reports: ScenarioReport[] = measured.map((name) => costs[name](options.smoke));
  if (asked.includes(share)) reports.push(...(await hashingShares({ start: (nodeOptions) => openOwn(options, nodeOptions), sizes, say })));
  for (const line of reports.flatMap(table)) say(line);
  const isYardstickWanted = asked.length === 0 || asked.includes(yardstick);
  if (loads.length > 0 || isYardstickWanted) {
    await using fabric = await open(options);
    const bench: Bench = { fabric, sizes, nodes: options.nodes, users: new BenchUsers(fabric.dataDir, say) };
    // All users before the first scenario: signing up would heat the machine while another measures.
    await gather(bench, loads);
    if (isYardstickWanted) {
      const report = await bareReport(bench);
      reports.push(report);
      for (const line of table(report)) say(line);
    }
    for (const scenario of loads) {
      const report = await measure(bench, scenario);
      reports.push(report);
      for (const line of table(report)) say(line);
    }
  }
  const fabric = options.data === undefined ? `private ${options.cells}, ${options.nodes} node(s) a cell` : `running on ${options.data}`;
  const report: BenchReport = { ...describeRun(fabric, options.smoke), scenarios: reports };
  if (options.profile !== undefined) for (const line of describeProfiles(options.profile)) say(line);
  if (!options.smoke) say(`written to ${write(report)}`);
  return verdict(report);
}

function bareReport({ fabric, sizes }: Bench): Promise<ScenarioReport> {
  const [cell] = fabric.cells;
  if (cell === undefined) throw new Error('the fabric has no cell');
  return barePath({
    database: cell.database,
    servers: () => fabric.servers().filter(({ name }) => name === `postgres-${cell.name}`),
    sizes,
  });
}

function open({ data, portBase, cells, nodes, reset, profile, smoke }: Options): Promise<BenchFabric> | BenchFabric {
  if (data !== undefined) return attach(data);
  const layout = { cells: cells.split(','), nodesPerCell: nodes, temporary: smoke, reset, say };
  return startPrivate({
    ...layout,
    ...(profile === undefined ? {} : { profiles: resolve(profile) }),
    ...(portBase === undefined ? {} : { portBase }),
  });
}

const openOwn = ({ cells }: Options, nodeOptions: string): Promise<BenchFabric> =>
  startPrivate({ cells: cells.split(','), nodesPerCell: 1, temporary: true, reset: false, nodeOptions, say });

/** 1: something was wrong. 2: only numbers were missed; a smoke run has none. */
function verdict({ scenarios: done, smoke }: BenchReport): number {
  if (done.some(({ wrong }) => wrong.length > 0)) return 1;
  const missed = done.flatMap(({ name, figures }) =>
    figures.filter((figure) => holds(figure) === false).map((figure) => `${name} ${figure.name}`),
  );
  if (smoke || missed.length === 0) return 0;
  say(`missed: ${missed.join(', ')}`);
  return 2;
}

if (import.meta.main) {
  const program = command().parse();
  try {
    process.exitCode = await run(program.args, program.opts<Options>());
  } catch (error) {
    say(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
