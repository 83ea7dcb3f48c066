// npm run handover -- --log <id> --to <cell> [--takeover] · moves the ownership of a log in a running local fabric.
//
// Without --takeover the owner itself gives the log away. With it the owner is lost: the directory signs that the named cell
// takes over, from the newest epoch that this cell knows.
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { grpcChannel } from '@weft/runtime/grpc.ts';
import { Command, InvalidArgumentError } from 'commander';
import { type Credentials, operatorIdentity } from './credentials.ts';
import type { FabricFile } from './fabric-file.ts';
import { type FabricOptions, runningFabric, withFabricOptions } from './fabric-options.ts';
import { limits } from './limits.ts';
import { askNode, operatorToken, whyNot } from './operator.ts';
import { readJson } from './state-file.ts';

interface OwnerOptions extends FabricOptions {
  readonly log?: string;
  readonly to?: string;
  readonly takeover?: boolean;
  readonly restored?: string;
  readonly lost?: string;
}

interface Ownership {
  readonly log: string;
  readonly epoch: string;
  readonly owner: string;
  readonly head: number;
  readonly status: string;
}

class Operator {
  readonly #fabric: FabricFile;
  readonly #credentials: Credentials;

  constructor(fabric: FabricFile) {
    this.#fabric = fabric;
    this.#credentials = readJson<Credentials>(this.#fabric.credentialsFile) ?? never('the installation has no credentials');
  }

  /** One request at a node of the cell. Throws what the cell says. */
  async ask<T>(cell: string, path: string, body?: unknown): Promise<T> {
    const url = this.#fabric.cells.find(({ name }) => name === cell)?.urls[0] ?? never(`there is no cell ${cell}`);
    return askNode<T>(url, path, { token: operatorToken(this.#fabric), msMax: limits.ownerMsMax, body }).catch((error: unknown) =>
      never(`${cell} at ${url}: ${whyNot(error, limits.ownerMsMax)}`),
    );
  }

  async takeOver(log: string, to: string): Promise<void> {
    const { epoch } = await this.ask<Ownership>(to, `logs/${log}`);
    using channel = grpcChannel(this.#fabric.controlPlane, this.#credentials.operatorToken, { tls: operatorIdentity(this.#credentials) });
    await channel.call(DirectoryServiceService.takeOver, { log: BigInt(log), cell: to, after: BigInt(epoch) });
  }

  async handOver(log: string, to: string): Promise<void> {
    const { owner } = await this.ask<Ownership>(to, `logs/${log}`);
    if (owner !== to) await this.ask(owner, 'handover', { log, to });
  }

  /** The log as its new owner has it, once it knows that it is: it hears so from the cell before it. */
  async owned(log: string, to: string): Promise<Ownership> {
    for (const endsMs = performance.now() + limits.ownerMsMax; ; await sleep(limits.ownerAgainMs)) {
      const now = await this.ask<Ownership>(to, `logs/${log}`);
      if (now.owner === to) return now;
      if (performance.now() > endsMs)
        never(`${to} has not heard yet that it owns ${log} (it says ${now.owner}); it settles by itself: give the same command to see`);
    }
  }
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
  const operator = new Operator(runningFabric(where));
  if (restored !== undefined) await operator.ask(restored, 'restored', {});
  else if (lost !== undefined && to !== undefined) await operator.ask(to, 'lost', { cell: lost });
  else if (log !== undefined && to !== undefined) await (takeover ? operator.takeOver(log, to) : operator.handOver(log, to));
  if (log !== undefined && to !== undefined) console.info(JSON.stringify(await operator.owned(log, to)));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
