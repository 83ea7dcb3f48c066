// The table faults × invariants × violations, for a terminal and for docs.
import type { CellService, Trial } from './result.ts';

const columns = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I12', 'I13', 'I14', 'I15', 'I17'] as const;

export interface Run {
  readonly trials: readonly Trial[];
  readonly seed: number;
  readonly commit: string;
  readonly date: string;
  readonly machine: string;
  readonly place: string;
  readonly judgesLatency: boolean;
}

/** Rows of one soak are added up by fault. */
function addUp(trials: readonly Trial[]): Trial[][] {
  const rows = new Map<string, Trial[]>();
  for (const trial of trials) rows.set(trial.fault, [...(rows.get(trial.fault) ?? []), trial]);
  return [...rows.values()];
}

const cellOf = (trials: readonly Trial[], invariant: string): string => {
  if (trials.every(({ judged }) => !judged.includes(invariant))) return '';
  return String(trials.reduce((sum, { violations }) => sum + violations.filter((one) => one.invariant === invariant).length, 0));
};

const worst = (numbers: readonly number[]): number => Math.max(...numbers.map((n) => (Number.isNaN(n) ? Number.POSITIVE_INFINITY : n)));
const asMs = (ms: number): string => (Number.isFinite(ms) ? `${Math.round(ms)}` : '–');

const notHit = (trials: readonly Trial[]): readonly CellService[] =>
  trials.flatMap(({ services }) => services).filter(({ suffers }) => !suffers);

/** Of the cells that were not hit, the worst: p99 undisturbed → under the fault as measured, the same beside the control cell. */
function others(trials: readonly Trial[]): { readonly latency: string; readonly freed: string; readonly errors: string } {
  const services = notHit(trials);
  if (services.length === 0) return { latency: '–', freed: '–', errors: '–' };
  const by = (pick: (service: CellService) => number): CellService => [...services].sort((a, b) => pick(b) - pick(a))[0] as CellService;
  const { latency: slowest } = by(({ latency }) => latency.faultMs);
  const { latency: worst } = by(({ latency }) => latency.freedFaultMs - latency.allowedMs);
  const sum = (pick: (service: CellService) => number): number => services.reduce((all, service) => all + pick(service), 0);
  const isJudged = services.every(({ latency }) => latency.unjudged === '');
  return {
    latency: `${asMs(slowest.undisturbedMs)} → ${asMs(slowest.faultMs)}`,
    freed: isJudged ? `${asMs(worst.freedUndisturbedMs)} → ${asMs(worst.freedFaultMs)}` : '–',
    errors: `${sum(({ latency }) => latency.errors)} of ${sum(({ latency }) => latency.asked)}`,
  };
}

/** How much of the time nodes that were not hit waited for a processor, undisturbed → under the fault, at most. */
function starved(trials: readonly Trial[]): string {
  const all = trials.flatMap(({ shortage }) => (shortage === undefined ? [] : [shortage]));
  if (all.length === 0) return '–';
  const most = (at: 0 | 1): string => `${Math.round(100 * Math.max(...all.map(({ waited }) => waited[at])))}`;
  return `${most(0)} → ${most(1)}`;
}

const head = [
  ...['fault', 'result', ...columns, 'appends/s', 'recovery ms'],
  ...['p99 ms of others', 'beside the control', 'errors of others', 'waiting for a processor %', 'MB'],
];

function rowOf(trials: readonly Trial[]): string[] {
  const [first] = trials as [Trial, ...Trial[]];
  if (trials.every(({ result }) => result === 'skipped')) return [first.fault, `skipped: ${first.reason}`];
  const times = trials.length > 1 ? ` × ${trials.length}` : '';
  const result = trials.some((trial) => trial.result === 'violated') ? 'VIOLATED' : 'held';
  const { latency, freed, errors } = others(trials);
  const load = Math.min(...trials.map(({ appendsPerSecond }) => appendsPerSecond));
  const cells = columns.map((invariant) => cellOf(trials, invariant));
  const rss = Math.max(...trials.map(({ rssMb }) => rssMb));
  return [
    `${first.fault}${times}`,
    result,
    ...cells,
    String(load),
    asMs(worst(trials.map(({ recoveryMs }) => recoveryMs))),
    latency,
    freed,
    errors,
    starved(trials),
    String(rss),
  ];
}

/** Lines of equal columns. */
export function asText(trials: readonly Trial[]): string {
  const rows = [head, ...addUp(trials).map(rowOf)];
  const full = rows.filter((row) => row.length === head.length);
  const widths = head.map((_, at) => Math.max(...full.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  const violations = trials.flatMap(({ fault, violations: found }) =>
    found.map(({ invariant, text }) => `${fault}: ${invariant}: ${text}`),
  );
  return [...rows.map(line), ...violations].join('\n');
}

/** docs/track-record.md. */
export function asMarkdown({ trials, seed, commit, date, machine, place, judgesLatency }: Run): string {
  const row = (cells: readonly string[]): string => `| ${head.map((_, at) => cells[at] ?? '').join(' | ')} |`;
  const rows = addUp(trials);
  const violations = trials.flatMap(({ fault, violations: found }) =>
    found.map(({ invariant, text }) => `- ${fault}: ${invariant}: ${text}`),
  );
  const notes = trials
    .filter((trial) => trial.notes.length > 0)
    .map(({ fault, text, notes: said }) => `- **${fault}** (${text}): ${said.join('; ')}`);
  const unjudged = trials.flatMap((trial) =>
    notHit([trial]).flatMap(({ cell, latency }) =>
      judgesLatency && latency.unjudged !== '' ? [`- ${trial.fault}: the latency of ${cell} was not judged: ${latency.unjudged}`] : [],
    ),
  );
  return `# Track record

Real processes under real faults: written by \`npm run faults -- --record\`, not by hand. Each number under an invariant is how often the checker found it
violated; an empty field was not judged. [invariants.md](invariants.md) says what they mean, [../tests/faults/README.md](../tests/faults/README.md) how it is done.

Commit ${commit}, ${date}, seed ${seed}, ${machine}, ${place}. The latency of cells that were not hit was ${judgesLatency ? 'judged beside a control cell that no fault touches (I12)' : 'measured and not judged'}.
What was skipped stands there with its reason. Power cuts are a run of their own: \`npm run powercut\`.

${row(head)}
${row(head.map(() => '---'))}
${rows.map((trials) => row(rowOf(trials))).join('\n')}

## What was seen

${[...violations, ...unjudged, ...notes].join('\n')}
`;
}
