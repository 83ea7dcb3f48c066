// The table faults × invariants × violations, for a terminal and for docs.
import type { CellService, Trial } from './trial.ts';

const columns = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I12', 'I13', 'I14', 'I15'] as const;

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

/** p99 undisturbed → under the fault, of the cells that were not hit; the worst of them. */
function others(trials: readonly Trial[]): { readonly latency: string; readonly errors: string } {
  const services = trials.flatMap((trial) => trial.services).filter(({ suffers }) => !suffers);
  if (services.length === 0) return { latency: '–', errors: '–' };
  const by = (pick: (service: CellService) => number): CellService => [...services].sort((a, b) => pick(b) - pick(a))[0] as CellService;
  const slowest = by(({ faultP99Ms }) => faultP99Ms);
  const asked = services.reduce((sum, service) => sum + service.asked, 0);
  const errors = services.reduce((sum, service) => sum + service.errors, 0);
  return { latency: `${asMs(slowest.baselineP99Ms)} → ${asMs(slowest.faultP99Ms)}`, errors: `${errors} of ${asked}` };
}

const head = ['fault', 'result', ...columns, 'appends/s', 'recovery ms', 'p99 ms of others', 'errors of others', 'MB'];

function rowOf(trials: readonly Trial[]): string[] {
  const [first] = trials as [Trial, ...Trial[]];
  if (trials.every(({ result }) => result === 'skipped')) return [first.fault, `skipped: ${first.reason}`];
  const times = trials.length > 1 ? ` × ${trials.length}` : '';
  const result = trials.some((trial) => trial.result === 'violated') ? 'VIOLATED' : 'held';
  const { latency, errors } = others(trials);
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
    errors,
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
  return `# Track record

Real processes under real faults: written by \`npm run faults -- --record\`, not by hand. Each number under an invariant is how often the checker found it
violated; an empty field was not judged. [invariants.md](invariants.md) says what they mean, [../tests/faults/README.md](../tests/faults/README.md) how it is done.

Commit ${commit}, ${date}, seed ${seed}, ${machine}, ${place}. The latency of cells that were not hit was ${judgesLatency ? 'judged (I12)' : 'measured and not judged: other work shared the machine'}.
A fault of the list that is not in the table was not in this run. Power cuts are a run of their own: \`npm run powercut\`.

${row(head)}
${row(head.map(() => '---'))}
${rows.map((trials) => row(rowOf(trials))).join('\n')}

## What was seen

${[...violations, ...notes].join('\n')}
`;
}
