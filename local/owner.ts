// npm run handover -- --log <id> --to <cell> [--takeover] · moves the ownership of a log in a running local fabric.
//
// Without --takeover the owner itself gives the log away. With it the owner is lost: the directory signs that the named cell
// takes over, from the newest epoch that this cell knows.
import { parseArgs } from 'node:util';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { grpcChannel } from '@weft/runtime/grpc.ts';
import { type Credentials, operatorIdentity } from './credentials.ts';
import { dataDirDefault } from './defaults.ts';
import { type FabricFile, readFabric } from './fabric-file.ts';
import { limits } from './limits.ts';
import { askNode, operatorToken } from './operator.ts';
import { readJson } from './state-file.ts';

const usage = `npm run handover -- --log <id> --to <cell> [--takeover] [--data <folder>]
npm run handover -- --restored <cell>             its store was restored from a backup
npm run handover -- --lost <cell> --to <cell>     the restored cell --to waits for nothing from --lost`;

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

  constructor(dataDir: string) {
    this.#fabric = readFabric(dataDir);
    this.#credentials = readJson<Credentials>(this.#fabric.credentialsFile) ?? never('the installation has no credentials');
  }

  /** One request at a node of the cell. Throws what the cell says. */
  async ask<T>(cell: string, path: string, body?: unknown): Promise<T> {
    const url = this.#fabric.cells.find(({ name }) => name === cell)?.urls[0] ?? never(`there is no cell ${cell}`);
    return askNode(url, path, { token: operatorToken(this.#fabric), msMax: limits.ownerMsMax, body });
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
}

const never = (why: string): never => {
  throw new Error(why);
};

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { log: text, to: text, takeover: { type: 'boolean' }, restored: text, lost: text, data: text } });
  const operator = new Operator(values.data ?? dataDirDefault());
  const { log, to, restored, lost } = values;
  if (restored !== undefined) await operator.ask(restored, 'restored', {});
  else if (lost !== undefined && to !== undefined) await operator.ask(to, 'lost', { cell: lost });
  else if (log === undefined || to === undefined) never(usage);
  else await (values.takeover ? operator.takeOver(log, to) : operator.handOver(log, to));
  if (log !== undefined && to !== undefined) console.info(JSON.stringify(await operator.ask<Ownership>(to, `logs/${log}`)));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
