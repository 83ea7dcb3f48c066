// Who owns which log in a running local fabric, as its operator asks and says.
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { grpcChannel } from '@weft/runtime/grpc.ts';
import { type Credentials, operatorIdentity } from './credentials.ts';
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';
import { askNode, operatorToken, whyNot } from './operator.ts';
import { readJson } from './state-file.ts';

export interface Ownership {
  readonly log: string;
  readonly epoch: string;
  readonly owner: string;
  readonly head: number;
  readonly status: string;
}

export class Owners {
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
