// `npm run powercut`: a cell's PostgreSQL and nats-server lose their power under load.
import { parseArgs } from 'node:util';
import { describeViolations } from '../history-checker.ts';
import { installPackages, powercutLacks } from './lacks.ts';
import { cutPower } from './power.ts';

const usage = `npm run powercut -- [options]
  --cuts N         how often (3)
  --seed N         when (1)
  --broker 10s|2m  how often the broker flushes: Weft's setting, or the broker's default (both, one after the other)
  --hasty          PostgreSQL answers before it has synced: the checker must find the loss (one cut, Weft's broker setting)
  --install        installs the Debian packages that are missing`;

const { values: given } = parseArgs({
  options: {
    cuts: { type: 'string' },
    seed: { type: 'string' },
    broker: { type: 'string' },
    hasty: { type: 'boolean' },
    install: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});

async function run(): Promise<number> {
  if (given.install) installPackages();
  const lacks = powercutLacks();
  if (lacks.length > 0) {
    console.error(`no power is cut here:\n${lacks.map((lack) => `  ${lack}`).join('\n')}`);
    return 2;
  }
  const wanted = given.broker ?? (given.hasty ? '10s' : undefined);
  const settings = (['10s', '2m'] as const).filter((setting) => wanted === undefined || wanted === setting);
  let violations = 0;
  for (const brokerSync of settings) {
    console.log(`the broker flushes every ${brokerSync}, PostgreSQL syncs ${given.hasty ? 'after it has answered' : 'before it answers'}`);
    const options = {
      cuts: Number(given.cuts ?? (given.hasty ? 1 : 3)),
      seed: Number(given.seed ?? 1),
      brokerSync,
      syncs: !given.hasty,
      perSecond: 120,
    };
    const result = await cutPower({ ...options, say: (line) => console.log(`  ${line}`) });
    console.log(
      `  ${result.accepted} accepted, ${result.violations.length} violations; the broker forgot ${result.forgotten.join(', ')} messages`,
    );
    if (result.violations.length > 0) console.log(describeViolations(result.violations));
    for (const text of result.late) console.log(`  I15: ${text}`);
    violations += result.violations.length + result.late.length;
  }
  return violations > 0 ? 1 : 0;
}

/** What went wrong first, and what on the way out. */
function describe(error: unknown): string {
  if (error instanceof SuppressedError) return `${describe(error.suppressed)}\n${describe(error.error)}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
try {
  if (given.help) console.log(usage);
  else process.exitCode = await run();
} catch (error) {
  console.error(describe(error));
  process.exitCode = 2;
}
process.exit();
