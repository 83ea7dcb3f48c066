// Greeting a device: who it is, what it may read, what changed since it was here last.
import { WeftError } from '@weft/proto/faults.ts';
import type { Head, Hello } from '@weft/proto/gen/weft/client/v1/client.ts';
import { digestValue } from '@weft/proto/heads-digest.ts';
import { limits } from '@weft/proto/limits.ts';
import { cellLimits } from '../limits.ts';
import type { Hub } from '../push/hub.ts';
import { AskTogether, type Gathering } from '../store/ask-together.ts';
import type { UserHead } from '../store/user-logs-table.ts';
import type { ServerEvent } from './codec.ts';
import type { Connection, Greeted } from './greeted.ts';

export interface Access {
  readonly user: bigint;
  readonly session: bigint;
  readonly device: string;
  readonly endsMs: number;
}

export interface GreeterOptions {
  readonly cell: { readonly name: string; readonly number: number; readonly generation: number };
  readonly node: string;
  readonly heartbeatMs: number;
  readonly appendsPerSecond: number;
  readonly hub: Hub;
  readonly now: () => number;
  readonly verify: (token: string) => Promise<Access>;
  /** Heads of all logs of these users, in one statement. */
  readonly readHeads: (users: readonly bigint[]) => Promise<Map<bigint, UserHead[]>>;
  readonly gathering: Gathering;
}

export class Greeter {
  readonly #options: GreeterOptions;
  readonly #heads: AskTogether<bigint, UserHead[]>;

  constructor(options: GreeterOptions) {
    this.#options = options;
    const answer = async (users: readonly bigint[]): Promise<UserHead[][]> => {
      const heads = await options.readHeads([...new Set(users)]);
      return users.map((user) => heads.get(user) ?? []);
    };
    this.#heads = new AskTogether({ ...options.gathering, answer, asksMax: cellLimits.greetBatchMax, underWayMax: 1 });
  }

  async greet(hello: Hello, socket: Connection): Promise<{ greeted: Greeted; welcome: ServerEvent }> {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(hello.device))
      throw new WeftError('bad_request', 'device must be 1 to 64 characters of [A-Za-z0-9_-]');
    const { user, session, device, endsMs } = await this.#options.verify(hello.token);
    if (device !== hello.device) throw new WeftError('token_invalid', 'the token belongs to another device');
    const { online, read } = await this.#options.hub.open(user, socket, async () => ({ heads: await this.#heads.ask(user) }));
    const greeted = { user, session, device, online, tokenEndsMs: endsMs };
    return { greeted, welcome: this.#welcome(hello, greeted, read.heads) };
  }

  cursor(nowMs: number): Uint8Array {
    const { number, generation } = this.#options.cell;
    const bytes = Buffer.alloc(14);
    bytes.writeBigUInt64BE(BigInt(nowMs));
    bytes.writeUInt16BE(number, 8);
    bytes.writeUInt32BE(generation, 10);
    return bytes;
  }

  #welcome(hello: Hello, { user, session, online, tokenEndsMs }: Greeted, heads: readonly UserHead[]): ServerEvent {
    const { cell, node, heartbeatMs, appendsPerSecond, hub, now } = this.#options;
    const digest = digestValue(online.digest);
    const changed = this.#changedHeads(hello, digest, heads);
    return {
      $case: 'welcome',
      value: {
        user,
        session,
        cell: cell.name,
        node,
        limits: {
          entryBytesMax: limits.entryBytesMax,
          frameBytesMax: limits.frameBytesMax,
          membersPerEntryMax: limits.membersPerEntryMax,
          appendsPerSecond,
          appendsInFlightMax: limits.appendsInFlightMax,
          pageEntriesMax: limits.pageEntriesMax,
          openIntakeMax: limits.openIntakePerUserMax,
        },
        heartbeatMs,
        heads: changed.slice(0, limits.welcomeHeadsMax).map((row) => toHead(row, hub.headOf(row.log))),
        complete: changed.length <= limits.welcomeHeadsMax,
        digest,
        cursor: this.cursor(now()),
        tokenEnds: BigInt(tokenEndsMs),
        selfLog: user,
      },
    };
  }

  /** Nothing for a client that holds everything; all that changed since its cursor; all, without a cursor of this life of the cell. */
  #changedHeads(hello: Hello, digest: bigint, heads: readonly UserHead[]): readonly UserHead[] {
    if (hello.resume && hello.resume.digest === digest) return [];
    const since = hello.resume ? this.#cursorMs(hello.resume.cursor) : 0;
    // What was told while the heads were read is newer than their rows say.
    return heads.filter((row) => row.changedMs >= since || (this.#options.hub.headOf(row.log) ?? 0) > row.head);
  }

  #cursorMs(cursor: Uint8Array): number {
    const { number, generation } = this.#options.cell;
    const bytes = Buffer.from(cursor);
    if (bytes.length !== 14 || bytes.readUInt16BE(8) !== number || bytes.readUInt32BE(10) !== generation) return 0;
    return Number(bytes.readBigUInt64BE(0)) - cellLimits.cursorMarginMs;
  }
}

const toHead = (row: UserHead, told: number | undefined): Head => ({
  log: row.log,
  epoch: row.epoch,
  seq: BigInt(Math.max(row.head, told ?? 0)),
  ord: BigInt(row.ord),
  ts: BigInt(row.ts),
});
