// A cell that has fallen into bad hands: its bus credentials, and its seal keys out of its own database.
import { createDecipheriv } from 'node:crypto';
import { type CellKeyRow, readCellKeys } from '@weft/cells/store/cell-keys-table.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { type OwnSealKey, type PeerSealKey, Sealer, type SealHeader, type SealKind } from '@weft/runtime/seal.ts';
import { makeSealKey } from '@weft/runtime/seal-keys.ts';
import { openPool } from '@weft/runtime/sql.ts';
import type { TestFabric } from './harness.ts';
import { metricsOf } from './metrics-of.ts';

const nonceBytes = 12;
const tagBytes = 16;
const generation = 1;

export class HostileCell implements AsyncDisposable {
  readonly name: string;
  readonly bus: FabricBus;
  /** Seals as the cell itself does. */
  readonly sealer: Sealer;
  /** Claims the cell's key version and has another key. */
  readonly impostor: Sealer;
  /** Seals under the cell's own key for another life of its store. */
  readonly ghost: Sealer;
  #frames = 0n;

  private constructor(name: string, bus: FabricBus, keys: { own: OwnSealKey[]; peers: ReadonlyMap<string, PeerSealKey[]> }) {
    this.name = name;
    this.bus = bus;
    const common = { cell: name, clock: systemClock, peerKeys: (cell: string) => keys.peers.get(cell) ?? [] };
    this.sealer = new Sealer({ ...common, ownKeys: () => keys.own, generation: () => generation });
    const forged = keys.own.map(({ version }) => ({ version, privateKey: makeSealKey().privateKey }));
    this.impostor = new Sealer({ ...common, ownKeys: () => forged, generation: () => generation });
    this.ghost = new Sealer({ ...common, ownKeys: () => keys.own, generation: () => generation + 1 });
  }

  static async open(fabric: TestFabric, name: string): Promise<HostileCell> {
    const { plan, credentials, natsCredentials } = fabric.fabric;
    const cells = plan.cells.map((cell) => cell.name);
    const secret = Buffer.from(credentials.cells[name]?.keySecret ?? '', 'base64url');
    const own = (await sealKeyRows(fabric, name)).map(({ version, wrappedKey }) => ({
      version,
      privateKey: unwrap(secret, wrappedKey, `weft.cell-key.v1 ${name} seal ${version}`),
    }));
    const peers = new Map<string, PeerSealKey[]>();
    for (const cell of cells) {
      const rows = await sealKeyRows(fabric, cell);
      const keys = rows.map(({ version, publicKey }) => ({ version, publicKey, generation, ends: 0 }));
      peers.set(cell, keys);
    }
    const password = natsCredentials.cell(name).fabric;
    const bus = await FabricBus.open({ url: natsUrl(fabric, name), password, cell: name, peers: cells, log: silentLog() });
    return new HostileCell(name, bus, { own, peers });
  }

  /** A header nobody used before. */
  header(at: Partial<SealHeader> = {}): SealHeader {
    return { id: BigInt(Date.now()) * 1_000n + ++this.#frames, attempt: 1, p: 0, what: '', ...at };
  }

  /** Sealed with the cell's real key. */
  seal(kind: SealKind, dst: string, plain: Uint8Array, at: Partial<SealHeader> = {}): Uint8Array {
    return this.sealer.seal({ kind, dst }, this.header(at), plain);
  }

  /** Puts bytes into a cell's inbound stream; throws when they were not stored. */
  async put(dst: string, at: { readonly cls: 'e' | 'i' | 'v' | 'm'; readonly p: number }, bytes: Uint8Array): Promise<void> {
    const stored = await this.bus.publisher(dst).publish({ ...at, msgId: `hostile.${Date.now()}.${++this.#frames}` }, bytes);
    if (stored !== 'stored') throw new Error(`the frame was not stored: ${stored}`);
  }

  /** A frame sealed with the real key, where it belongs. */
  async send(dst: string, cls: 'e' | 'i' | 'v' | 'm', plain: Uint8Array): Promise<void> {
    await this.put(dst, { cls, p: 0 }, this.seal('frame', dst, plain, { cls }));
  }

  /** A request sealed with the real key; the opened answer, or undefined when none came. */
  async ask(dst: string, method: string, plain: Uint8Array): Promise<Uint8Array | undefined> {
    const { id } = this.header();
    const outcome = await this.bus.request(
      { dst, method, timeoutMs: 2_000 },
      this.seal('request', dst, plain, { id, attempt: 0, what: method }),
    );
    if (!outcome.ok) return undefined;
    const opened = this.sealer.openAt({ kind: 'answer', src: dst, what: method, id }, outcome.bytes);
    return opened.ok ? opened.plain : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bus[Symbol.asyncDispose]();
  }
}

export function natsUrl(fabric: TestFabric, cell: string): string {
  const planned = fabric.fabric.plan.cells.find(({ name }) => name === cell);
  return `nats://127.0.0.1:${planned?.nats.client}`;
}

async function sealKeyRows(fabric: TestFabric, cell: string): Promise<CellKeyRow[]> {
  const pool = openPool(fabric.fabric.databaseUrl(cell), 1);
  try {
    return (await readCellKeys((statement) => pool.query(statement))).filter(({ use }) => use === 'seal');
  } finally {
    await pool.end();
  }
}

/** As cells keep their keys: nonce, ciphertext and tag of AES-256-GCM, the label authenticated. */
function unwrap(secret: Buffer, wrapped: Buffer, label: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', secret, wrapped.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(label));
  decipher.setAuthTag(wrapped.subarray(-tagBytes));
  return Buffer.concat([decipher.update(wrapped.subarray(nonceBytes, -tagBytes)), decipher.final()]);
}

/** What a node has counted of what it did not believe: "frame wrong-key eu-1" and how often. */
export async function rejections(fabric: TestFabric, node: string): Promise<Map<string, number>> {
  const text = await metricsOf(fabric.fabric.servers().find(({ name }) => name === node));
  const counted = new Map<string, number>();
  for (const [, labels = '', value] of text.matchAll(/^cells_rejected_total\{([^}]*)\} (\d+)$/gm)) {
    const label = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    counted.set(`${label('what')} ${label('why')} ${label('src')}`, Number(value));
  }
  return counted;
}

/** Everything a cell's tables hold, as one hash a table; what changes by itself (beats, stamps, heads heard of) is left out. */
export async function fingerprint(fabric: TestFabric, cell: string): Promise<Record<string, unknown>> {
  const tables = await fabric.sql(
    cell,
    "select table_name as name from information_schema.tables where table_schema = 'public' and table_name not in ('leases', 'schema_lease', 'cell', 'frame_stamps', 'witnessed_heads') order by 1",
  );
  const hashes = tables.map(({ name }) => `(select md5(string_agg(t::text, '|' order by t::text)) from ${name} t) as ${name}`);
  return (await fabric.sql(cell, `select ${hashes.join(', ')}`))[0] ?? {};
}
