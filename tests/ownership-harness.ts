// Operators' hands on a test fabric: who owns a log, giving it away, taking it over.
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { grpcChannel } from '@weft/runtime/grpc.ts';
import type { TestFabric } from './harness.ts';

export interface Ownership {
  readonly owner: string;
  readonly epoch: string;
  readonly head: number;
  readonly status: string;
}

export class Operator {
  readonly #fabric: TestFabric;

  constructor(fabric: TestFabric) {
    this.#fabric = fabric;
  }

  async ask<T>(cell: string, path: string, body?: unknown): Promise<T> {
    const token = this.#fabric.fabric.credentials.cells[cell]?.serviceToken;
    const answer = await fetch(`${this.#fabric.url(`node-${cell}-a`)}/v1/operator/${path}`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(`${cell} ${path}: ${JSON.stringify(said)}`);
    return said as T;
  }

  ownership(cell: string, log: bigint): Promise<Ownership> {
    return this.ask(cell, `logs/${log}`);
  }

  handOver(from: string, log: bigint, to: string): Promise<unknown> {
    return this.ask(from, 'handover', { log: String(log), to });
  }

  /** The directory signs. */
  async takeOver(log: bigint, to: string): Promise<void> {
    const { epoch } = await this.ownership(to, log);
    const { plan, credentials } = this.#fabric.fabric;
    using channel = grpcChannel(`127.0.0.1:${plan.controlPlane.port}`, credentials.operator);
    await channel.call(DirectoryServiceService.takeOver, { log, cell: to, after: BigInt(epoch) });
  }
}
