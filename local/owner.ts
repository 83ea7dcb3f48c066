// npm run handover -- --log <id> --to <cell> [--takeover] · moves the ownership of a log in a running local fabric.
//
// Without --takeover the owner itself gives the log away. With it the owner is lost: the directory signs that the named cell
// takes over, from the newest epoch that this cell knows.
import { Command, InvalidArgumentError } from 'commander';
import { type FabricOptions, runningFabric, withFabricOptions } from './fabric-options.ts';
import { Owners } from './owners.ts';

interface OwnerOptions extends FabricOptions {
  readonly log?: string;
  readonly to?: string;
  readonly takeover?: boolean;
  readonly restored?: string;
  readonly lost?: string;
}

const never = (why: string): never => {
  throw new Error(why);
};

function command(): Command {
  return withFabricOptions(new Command('npm run handover --'))
    .description('Moves the ownership of a log, or tells a cell what became of a store. One of --log, --restored and --lost.')
    .option('--log <id>', 'the log that --to is to own from now on', logFrom)
    .option('--to <cell>', 'the new owner; with --lost the cell that was restored')
    .option('--takeover', 'its owner is lost: the directory signs that --to takes over')
    .option('--restored <cell>', 'its store was restored from a backup')
    .option('--lost <cell>', 'the restored cell --to waits for nothing from this one')
    .allowExcessArguments(false);
}

function logFrom(text: string): string {
  if (!/^\d{1,19}$/.test(text)) throw new InvalidArgumentError('it is a decimal number; /where in the chat shows it.');
  return text;
}

async function main(): Promise<void> {
  const asked = command();
  asked.parse();
  const { log, to, takeover, restored, lost, ...where } = asked.opts<OwnerOptions>();
  if (restored === undefined && (to === undefined || (lost === undefined && log === undefined))) never(asked.helpInformation());
  const operator = new Owners(runningFabric(where));
  if (restored !== undefined) await operator.ask(restored, 'restored', {});
  else if (lost !== undefined && to !== undefined) await operator.ask(to, 'lost', { cell: lost });
  else if (log !== undefined && to !== undefined) await (takeover ? operator.takeOver(log, to) : operator.handOver(log, to));
  if (log !== undefined && to !== undefined) console.info(JSON.stringify(await operator.owned(log, to)));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
