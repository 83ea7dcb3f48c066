// `npm start`: the whole fabric on this machine until Ctrl-C, with what its links really carry.
import { Command, InvalidArgumentError } from 'commander';
import { Canary } from './canary.ts';
import { dataDirDefault, machineEnvironment, portBaseDefault } from './defaults.ts';
import { Fabric, type FabricEvent } from './fabric.ts';
import { limits } from './limits.ts';
import { LinkBooks } from './link-books.ts';
import { directedLinks, planFabric, plannedProcesses } from './plan.ts';
import { resetData, StartRefused } from './preflight.ts';
import { addressTable, linkSummary, linkTable, Screen } from './screen.ts';

interface UpOptions {
  readonly data: string;
  readonly portBase: number;
  readonly cells?: readonly string[];
  readonly reset?: boolean;
  readonly plain?: boolean;
}

function readOptions(argv: readonly string[]): UpOptions {
  const number = (text: string): number => {
    if (!/^\d+$/.test(text)) throw new InvalidArgumentError('it is a whole number.');
    return Number(text);
  };
  return new Command('npm start --')
    .description('Runs two regions with two cells each on this machine, until Ctrl-C. The data is kept.')
    .option('--data <dir>', 'folder of all data', dataDirDefault())
    .option('--port-base <number>', 'first of 600 ports', number, portBaseDefault)
    .option('--cells <names>', 'only these cells, with commas between: eu-1,us-1', (text) => text.split(',').filter((name) => name !== ''))
    .option('--reset', 'empty the data folder first')
    .option('--plain', 'plain lines, even on a terminal')
    .parse(argv, { from: 'user' })
    .opts<UpOptions>();
}

/** Aborts on Ctrl-C, SIGTERM, SIGHUP, a closed output, and when whoever started us is gone. */
function untilStopped(): { signal: AbortSignal } & Disposable {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  process.stdout.on('error', stop);
  process.stderr.on('error', stop);
  const parent = process.ppid;
  const orphaned = setInterval(() => process.ppid !== parent && stop(), limits.orphanPollMs).unref();
  return {
    signal: abort.signal,
    // The signals stay caught: a second Ctrl-C must not end us before everything is stopped.
    [Symbol.dispose]: () => clearInterval(orphaned),
  };
}

async function up(options: UpOptions, screen: Screen, signal: AbortSignal): Promise<void> {
  const planned = { portBase: options.portBase, ...(options.cells && { cells: options.cells }) };
  const plan = planFabric(planned);
  if (options.reset) resetData(options.data);
  screen.line(`weft: ${plan.cells.length} cells in ${plan.regions.length} regions, data in ${options.data}`);
  const progress = new StartProgress(screen, plannedProcesses(plan).length);
  let started = false;
  const tell = (event: FabricEvent): void => (started ? sayEvent(screen, event) : progress.tell(event));
  const say = (line: string): void => screen.line(`  ${line}`);
  const fabric = await Fabric.start({ ...planned, dataDir: options.data, say, tell, signal });
  started = true;
  try {
    screen.show([]);
    screen.line(`weft: ${progress.ready} processes in ${seconds(performance.now())}\n`);
    for (const line of addressTable(fabric.describe())) screen.line(line);
    screen.line('');
    await watchLinks({ fabric, screen, signal });
  } finally {
    started = false;
    const stoppingMs = performance.now();
    screen.show([]);
    screen.line('weft: stopping');
    await fabric[Symbol.asyncDispose]();
    screen.line(`weft: stopped in ${seconds(performance.now() - stoppingMs)}; the data is kept in ${options.data}`);
  }
}

/** While the fabric starts: one line that changes on a terminal, a line per process elsewhere. */
class StartProgress {
  ready = 0;
  readonly #screen: Screen;
  readonly #all: number;

  constructor(screen: Screen, all: number) {
    this.#screen = screen;
    this.#all = all;
  }

  tell(event: FabricEvent): void {
    if (event.what === 'stopped') return;
    if (event.what !== 'started') return sayEvent(this.#screen, event);
    this.ready++;
    if (this.#screen.live) this.#screen.show([`  starting: ${this.ready} of ${this.#all} ready, ${event.name} after ${seconds(event.ms)}`]);
    else this.#screen.line(`  ${event.name} ready after ${seconds(event.ms)} (${this.ready} of ${this.#all})`);
  }
}

/** Shows the links until stopped; says once when every link has carried a message. */
async function watchLinks(parts: { fabric: Fabric; screen: Screen; signal: AbortSignal }): Promise<void> {
  const { fabric, screen, signal } = parts;
  const stopped = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => stopped.resolve(), { once: true });
  if (signal.aborted) return;
  await using canary = new Canary({
    fabric: fabric.describe(),
    links: directedLinks(fabric.plan),
    dataDir: fabric.dataDir,
    say: (line) => screen.line(`  ${clock()}  ${line}`),
  });
  using books = new LinkBooks(fabric.describe());
  let ready = false;
  const sayReady = (): void => {
    if (ready) return;
    ready = true;
    screen.line(`weft: ready in ${Math.round(performance.now() / 1_000)} s`);
  };
  canary.start();
  if (canary.numbers().length === 0) sayReady();
  canary.allUp.then(sayReady, () => undefined);
  const draw = (): void => {
    const links = canary.numbers();
    const down = fabric.servers().filter(({ state }) => state !== 'running');
    const state = down.length === 0 ? 'every process runs' : down.map((one) => `${one.name} ${one.state}`).join(', ');
    screen.show(['', ...linkTable(links, screen.width, books.of), '', `  ${state} · Ctrl-C stops, the data is kept`]);
  };
  const status = (): void => screen.line(`  ${clock()}  ${linkSummary(canary.numbers(), books.of)}`);
  using _drawing = every(limits.drawEveryMs, screen.live ? draw : () => undefined);
  using _telling = every(limits.statusEveryMs, screen.live ? () => undefined : status);
  if (screen.live) draw();
  await stopped.promise;
}

function every(ms: number, work: () => void): Disposable {
  const timer = setInterval(work, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
const clock = (): string => new Date().toISOString().slice(11, 19);

function sayEvent(screen: Screen, { name, what, ms, detail }: FabricEvent): void {
  const more = what === 'restarted' ? ` in ${seconds(ms)}` : detail === '' ? '' : `: ${detail}`;
  screen.line(`  ${clock()}  ${name} ${what}${more}`);
}

/** What went wrong and what to do about it. */
function explain(error: unknown, data: string): string {
  if (error instanceof StartRefused) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  if ((error as NodeJS.ErrnoException)?.code === 'ENOSPC' || /No space left on device|ENOSPC/.test(text)) {
    return `the disk of ${data} is full.\n  Free some, or choose another disk: npm start -- --data DIR\n${text}`;
  }
  return text;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  const env = machineEnvironment();
  using screen = new Screen(process.stdout, options.plain === true || env.TERM === 'dumb');
  using stopping = untilStopped();
  try {
    await up(options, screen, stopping.signal);
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    screen.show([]);
    process.stderr.write(`weft: ${explain(error, options.data)}\n`);
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
