// Operators' hands on a test fabric: who owns a log, giving it away, taking it over.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { hops } from '@weft/cells/delivery/balance.ts';
import { operatorIdentity } from '@weft/local/credentials.ts';
import { fetchServers } from '@weft/local/fetch-servers.ts';
import { askNode } from '@weft/local/operator.ts';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { grpcChannel } from '@weft/runtime/grpc.ts';
import type { TestFabric } from './harness.ts';
import { metricsOf } from './metrics-of.ts';

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

  ask<T>(cell: string, path: string, body?: unknown): Promise<T> {
    const token = this.#fabric.fabric.credentials.operatorToken;
    return askNode(this.#fabric.url(`node-${cell}-a`), path, { token, msMax: 10_000, body });
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
    using channel = grpcChannel(`127.0.0.1:${plan.controlPlane.port}`, credentials.operatorToken, {
      tls: operatorIdentity(credentials),
    });
    await channel.call(DirectoryServiceService.takeOver, { log, cell: to, after: BigInt(epoch) });
  }
}

const run = promisify(execFile);

/** A base backup of a cell's PostgreSQL while it serves. Resolves to the folder. */
export async function baseBackup(fabric: TestFabric, cell: string): Promise<string> {
  const servers = await fetchServers(['postgres'], () => undefined);
  const program = join(dirname(servers.get('postgres')?.path ?? ''), 'pg_basebackup');
  const port = new URL(fabric.fabric.databaseUrl(cell)).port;
  const folder = join(fabric.fabric.dataDir, `backup-${cell}`);
  await run(program, ['-h', '127.0.0.1', '-p', port, '-U', 'postgres', '-D', folder, '-X', 'fetch', '-c', 'fast'], { timeout: 60_000 });
  return folder;
}

/** Puts the backup where the cell's PostgreSQL keeps its files. It and the cell's nodes must be stopped. */
export async function restoreBackup(fabric: TestFabric, cell: string, folder: string): Promise<void> {
  const dir = join(fabric.fabric.dataDir, `postgres-${cell}`);
  const { uid, gid } = statSync(dir);
  rmSync(dir, { recursive: true });
  renameSync(folder, dir);
  await run('chown', ['-R', `${uid}:${gid}`, dir]);
  await run('chmod', ['-R', 'u+rwX,go-rwx', dir]);
}

/** The node forgets how far its store was: as if no beat had come since the backup, so that it does not notice a restore. */
export function forgetBeats(fabric: TestFabric, node: string): void {
  const file = join(fabric.fabric.dataDir, node, 'store-life.json');
  const { beat, ...life } = JSON.parse(readFileSync(file, 'utf8')) as { readonly beat: number };
  assert.ok(beat > 0, 'the node has taken a beat');
  writeFileSync(file, JSON.stringify({ ...life, beat: 0 }));
}

/** What a cell's books say of its links, where something waits, differs or is missing; one line each. */
export async function unbalanced(fabric: TestFabric, cell: string): Promise<string[]> {
  const text = await metricsOf(fabric.fabric.servers().find(({ name }) => name === `node-${cell}-a`));
  const links = new Map<string, Map<string, number>>();
  for (const line of text.split('\n')) {
    const [, dst, what] = /^weft_link_books\w*\{.*?dst="([^"]*)".*?(?:hop|what)="([^"]*)"/.exec(line) ?? [];
    if (dst === undefined || what === undefined) continue;
    const link = links.get(dst) ?? new Map<string, number>();
    links.set(dst, link.set(what, Number(line.slice(line.lastIndexOf(' ') + 1))));
  }
  if (links.size === 0) return [`${cell} keeps no books yet`];
  return [...links].flatMap(([dst, link]) => {
    const n = (what: string): number => link.get(what) ?? 0;
    const isEven = n('accepted') === n('applied') + n('refused') && hops.every((hop) => n(hop) === 0);
    return isEven ? [] : [`${cell} to ${dst}: ${[...link].map(([what, value]) => `${what} ${value}`).join(' ')}`];
  });
}
