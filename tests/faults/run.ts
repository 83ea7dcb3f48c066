// Many faults one after the other on one stage, until the list or the time is over, or somebody stops it.
import { seededRandom } from '@weft/runtime/random.ts';
import { ControlCell } from './control.ts';
import { type Fault, nameOf } from './fault.ts';
import { limits } from './limits.ts';
import { type Lacks, reasonAgainst } from './machine.ts';
import { untilSure } from './repeats.ts';
import type { Trial } from './result.ts';
import { Stage } from './stage.ts';
import { runTrial } from './trial.ts';

export interface RunOptions {
  readonly chosen: readonly Fault[];
  readonly lacks: Lacks;
  readonly seed: number;
  /** Picks faults at random for so long; each once when absent. */
  readonly minutes: number | undefined;
  /** Beside a control cell. */
  readonly judgesLatency: boolean;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

const cells = ['eu-1', 'eu-2', 'us-1'] as const;
const nodes = { 'eu-1': 2, 'eu-2': 1, 'us-1': 2 } as const;

/** Every trial that was made or skipped, and where. Nothing is left running, mounted or in the network afterwards. */
export async function runAll(options: RunOptions): Promise<{ readonly trials: Trial[]; readonly place: string }> {
  const { chosen, lacks, signal, say } = options;
  const trials: Trial[] = [];
  const possible = chosen.filter((fault) => {
    const reason = reasonAgainst(lacks, fault.needs);
    if (reason !== undefined) trials.push(skipped(fault, reason));
    return reason === undefined;
  });
  const placed = possible.some(({ needs }) => needs.includes('namespaces'));
  const place = placed ? 'each part in a network namespace of its own' : 'all on loopback';
  if (possible.length === 0 || signal.aborted) return { trials, place };
  await using owned = new AsyncDisposableStack();
  const stage = owned.use(await Stage.open({ cells, nodes, placed }));
  const control = options.judgesLatency ? owned.use(await ControlCell.open()) : undefined;
  const stopped = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => stopped.resolve(), { once: true });
  await Promise.race([stopped.promise, onStage(options, possible, { stage, control, trials })]);
  if (signal.aborted) say('stopping');
  return { trials, place };
}

async function onStage(
  options: RunOptions,
  possible: readonly Fault[],
  { stage, control, trials }: { stage: Stage; control: ControlCell | undefined; trials: Trial[] },
): Promise<void> {
  const { seed, signal, say } = options;
  let n = 0;
  for (const fault of schedule(options, possible)) {
    if (signal.aborted) return;
    say(`${nameOf(fault)}: ${fault.text}`);
    const makeTrial = async (): Promise<Trial> => {
      n += 1;
      return runTrial({ stage, fault, seed: seed + n, label: `t${n}`, signal, control, say });
    };
    const trial = await untilSure(makeTrial, fault.long ? 1 : limits.lateTimes);
    if (signal.aborted) return;
    trials.push(trial);
    const worst = trial.violations.slice(0, limits.violationsShownMax).map(({ invariant, text }) => `\n  ${invariant}: ${text}`);
    const notes = trial.notes.map((note) => `\n  ${note}`);
    say(`${nameOf(fault)}: ${trial.result}, recovered in ${trial.recoveryMs} ms, ${trial.seconds} s${[...notes, ...worst].join('')}`);
  }
}

/** Each fault once; or drawn from the seed for as long as there is time. */
function* schedule({ seed, minutes }: RunOptions, possible: readonly Fault[]): Generator<Fault> {
  if (minutes === undefined) return yield* possible;
  const random = seededRandom(seed);
  const endsMs = performance.now() + minutes * 60_000;
  for (let n = 0; n < limits.faultsMax && performance.now() < endsMs; n++) yield possible[random.int(possible.length)] as Fault;
}

export const skipped = (fault: Pick<Fault, 'id' | 'variant' | 'text'>, reason: string): Trial => ({
  fault: nameOf(fault).trim(),
  text: fault.text,
  result: 'skipped',
  reason,
  judged: [],
  violations: [],
  appendsPerSecond: 0,
  accepted: 0,
  recoveryMs: Number.NaN,
  services: [],
  shortage: undefined,
  rssMb: 0,
  notes: [],
  seconds: 0,
});
