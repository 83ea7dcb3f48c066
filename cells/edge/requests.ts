// Every request of a client but hello and append. Each is a short function from the request to its answer.
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';
import {
  type ChangeMembers,
  Created,
  type CreateGroup,
  type ListLogs,
  type LogInfo,
  MembersAdded,
  MembersRemoved,
  type OpenDirect,
  type ReadHistory,
  type SetMark,
  type SignedHead,
} from '@weft/proto/gen/weft/client/v1/client.ts';
import { bucketCount, bucketOf, type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import { limits } from '@weft/proto/limits.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import { groupPair, type LogState, ownerOf, pairKey, pairOf, streamOf } from '../delivery/log-state.ts';
import { clampMark, type Mark, markOf, toMoved } from '../delivery/marks.ts';
import type { AppendOperation, Outcome, Target } from '../delivery/operations.ts';
import { protoKindOf } from '../delivery/self-entries.ts';
import { epochsToWire } from '../delivery/snapshot.ts';
import { cellLimits } from '../limits.ts';
import type { CellStore } from '../store/sql-log-store.ts';
import type { UserHead, UserLogInfo } from '../store/user-logs-table.ts';
import { entrySize, toWire } from '../wire/entry-codec.ts';
import type { Answer, ServerEvent } from './codec.ts';
import type { ClientRequest } from './edge-services.ts';
import type { Greeted } from './greeted.ts';
import { readPage } from './history-page.ts';

export interface RequestsOptions {
  readonly cell: number;
  readonly store: CellStore;
  readonly homeOf: (user: bigint) => number;
  readonly logsPerUserMax: number;
  /** Whether the directory knows the user; throws directory_away when nobody can tell. */
  readonly exists: (user: bigint) => Promise<boolean>;
  readonly append: (operation: AppendOperation) => Promise<Outcome>;
  /** Opens a direct conversation at its birthplace and waits until it is here. */
  readonly openAway: (opener: bigint, peer: bigint, clientEntryId: bigint) => Promise<bigint>;
  readonly setMark: (mark: Mark, state: LogState) => Promise<void>;
  /** For a member: what the owner says of the log's head, or its witness. */
  readonly signedHead: (log: bigint, user: bigint, isWitness: boolean) => Promise<SignedHead>;
  readonly renew: (token: string, greeted: Greeted) => Promise<void>;
}

export class Requests {
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  async handle(request: ClientRequest, greeted: Greeted): Promise<Answer> {
    checkNumbers(Object.values(request.value));
    switch (request.$case) {
      case 'openDirect':
        return this.#openDirect(request.value, greeted);
      case 'createGroup':
        return this.#createGroup(request.value, greeted);
      case 'changeMembers':
        return this.#changeMembers(request.value, greeted);
      case 'readHistory':
        return this.#readHistory(request.value, greeted);
      case 'setMark':
        return this.#setMark(request.value, greeted);
      case 'readBuckets':
        return this.#readBuckets(greeted);
      case 'readHeads':
        return this.#readHeads(request.value.buckets, greeted);
      case 'listLogs':
        return this.#listLogs(request.value, greeted);
      case 'readMembers':
        return this.#readMembers(request.value.log, greeted);
      case 'readSignedHead':
        return { $case: 'signedHead', value: await this.#options.signedHead(request.value.log, greeted.user, request.value.witness) };
      case 'renewToken':
        await this.#options.renew(request.value.token, greeted);
        return done;
      default:
        throw new WeftError('unknown_request');
    }
  }

  async #openDirect({ peer, clientEntryId }: OpenDirect, { user }: Greeted): Promise<ServerEvent> {
    checkId(clientEntryId);
    if (peer === user) throw new WeftError('bad_request', 'a direct conversation needs another user');
    const pair = pairOf(user, peer);
    const known = (await this.#options.store.findPairs([pair])).get(pairKey(pair));
    if (known !== undefined) return opened(known);
    if (!(await this.#options.exists(peer))) throw new WeftError('unknown_user');
    await this.#checkRoom(user);
    if (this.#options.homeOf(pair.low) !== this.#options.cell) return opened(await this.#options.openAway(user, peer, clientEntryId));
    const outcome = await this.#options.append({
      type: 'append',
      target: { pair },
      author: user,
      clientEntryId,
      kind: kinds.created,
      body: new Uint8Array(),
    });
    return opened(acceptedLog(outcome));
  }

  async #createGroup({ clientEntryId, title, members, membersMax }: CreateGroup, { user }: Greeted): Promise<ServerEvent> {
    checkId(clientEntryId);
    const max = membersMax === 0 ? limits.groupMembersDefault : membersMax;
    if (max < 2 || max > limits.groupMembersMax) throw new WeftError('bad_request', `members_max must be 2 to ${limits.groupMembersMax}`);
    if ([...title].length > limits.titleCharsMax || title.includes('\0'))
      throw new WeftError('bad_request', `title must have at most ${limits.titleCharsMax} characters`);
    const users = [...new Set([user, ...members])];
    if (users.length > limits.membersPerEntryMax)
      throw new WeftError('too_many_members', `${users.length}, ${limits.membersPerEntryMax} allowed at once`);
    await this.#checkUsers(members);
    await this.#checkRoom(user);
    const body = Created.encode({
      kind: 'LOG_KIND_GROUP',
      title,
      membersMax: max,
      members: users.map((each) => ({ user: each, home: this.#options.homeOf(each), from: 1n })),
    }).finish();
    const target: Target = { pair: groupPair(user, clientEntryId) };
    return opened(
      acceptedLog(await this.#options.append({ type: 'append', target, author: user, clientEntryId, kind: kinds.created, body })),
    );
  }

  async #changeMembers({ log, clientEntryId, add, remove }: ChangeMembers, { user }: Greeted): Promise<ServerEvent> {
    checkId(clientEntryId);
    if ((add.length === 0) === (remove.length === 0)) throw new WeftError('bad_request', 'either add or remove members');
    if (add.length > limits.membersPerEntryMax || remove.length > limits.membersPerEntryMax) throw new WeftError('too_many_members');
    await this.#checkUsers(add);
    const body =
      add.length > 0
        ? MembersAdded.encode({ members: add.map((each) => ({ user: each, home: this.#options.homeOf(each), from: 0n })) }).finish()
        : MembersRemoved.encode({ users: remove }).finish();
    const kind = add.length > 0 ? kinds.membersAdded : kinds.membersRemoved;
    const outcome = await this.#options.append({ type: 'append', target: { log }, author: user, clientEntryId, kind, body });
    if (outcome.type === 'pending') return { $case: 'pending', value: { log, clientEntryId } };
    acceptedLog(outcome);
    return done;
  }

  async #checkRoom(user: bigint): Promise<void> {
    const { store, logsPerUserMax } = this.#options;
    if ((await store.countLogs(user)) >= logsPerUserMax) throw new WeftError('too_many_logs', `${logsPerUserMax} allowed`);
  }

  async #checkUsers(users: readonly bigint[]): Promise<void> {
    for (const user of users) if (!(await this.#options.exists(user))) throw new WeftError('unknown_user', String(user));
  }

  /** Forwards from a seq, or backwards from `before` (the head, when 0). */
  async #readHistory({ log, from, before, limit }: ReadHistory, { user }: Greeted): Promise<Answer> {
    const size = Math.min(limit === 0 ? 50 : limit, limits.pageEntriesMax);
    const { store } = this.#options;
    checkSeq(from);
    checkSeq(before);
    const page = await readPage(store, { user, log, from: Number(from), before: Number(before), limit: size });
    if (!page) throw new WeftError('unknown_log');
    const { row, state, interval, start } = page;
    if (interval.until !== 0) throw new WeftError('not_a_member');
    const forwards = from > 0n;
    const all = page.entries;
    const entries = forwards ? all.slice(0, fitting(all)) : all.slice(all.length - fitting(all.toReversed()));
    const pending =
      forwards || before !== 0n || ownerOf(state) === this.#options.cell ? [] : await store.pendingOf(streamOf(state), user, size);
    const last = entries.at(-1);
    const first = entries[0];
    return {
      $case: 'entriesPage',
      entries,
      value: {
        log,
        head: { log, epoch: row.epoch, seq: BigInt(row.head), ord: BigInt(row.ord), ts: BigInt(row.ts) },
        visibleFrom: BigInt(interval.from),
        end: forwards ? !last || last.seq >= row.head : !first || first.seq <= Math.max(interval.from, start + 1),
        epochs: state.epochs.length > 1 ? epochsToWire(state.epochs) : [],
        pending: pending.map((entry) => toWire({ ...entry, log })),
      },
    };
  }

  async #setMark({ log, kind, epoch, seq }: SetMark, { user }: Greeted): Promise<ServerEvent> {
    const found = await this.#options.store.readRow(log);
    if (!found?.state.members.has(user)) throw new WeftError('unknown_log');
    checkSeq(seq);
    const { row, state } = found;
    await this.#options.setMark(markOf({ log, user, kind, epoch, seq: Number(seq) }, { epoch: row.epoch, seq: row.head }), state);
    return done;
  }

  async #readBuckets({ user }: Greeted): Promise<ServerEvent> {
    const digests: Digest[] = Array.from({ length: bucketCount }, () => ({ hi: 0, lo: 0 }));
    for (const { log, epoch, head } of await this.#heads(user)) toggleHead(digests[bucketOf(log)] as Digest, log, epoch, head);
    return { $case: 'buckets', value: { digests: digests.map(digestValue) } };
  }

  async #readHeads(buckets: readonly number[], { user }: Greeted): Promise<ServerEvent> {
    const wanted = new Set(buckets);
    const logs = (await this.#heads(user)).filter(({ log }) => wanted.has(bucketOf(log))).map(({ log }) => log);
    const infos = await this.#options.store.userLogs(user, logs);
    return { $case: 'heads', value: { logs: infos.map((info) => toLogInfo(info, user)), end: true } };
  }

  async #heads(user: bigint): Promise<UserHead[]> {
    return (await this.#options.store.userHeads([user])).get(user) ?? [];
  }

  async #listLogs({ after, limit }: ListLogs, { user }: Greeted): Promise<ServerEvent> {
    const size = Math.min(limit === 0 ? 100 : limit, limits.pageEntriesMax);
    const infos = await this.#options.store.listUserLogs(user, { after, limit: size });
    return { $case: 'heads', value: { logs: infos.map((info) => toLogInfo(info, user)), end: infos.length < size } };
  }

  async #readMembers(log: bigint, { user }: Greeted): Promise<ServerEvent> {
    const found = await this.#options.store.readRow(log);
    if (!found?.state.members.has(user)) throw new WeftError('unknown_log');
    const members = [...found.state.members].map(([id, m]) => ({ user: id, home: m.home, from: BigInt(m.from) }));
    const marks = (await this.#options.store.marksOf(log)).flatMap((mark) => toMoved(clampMark(mark, found.state.epochs)));
    return { $case: 'members', value: { log, members, marks } };
  }
}

const done: ServerEvent = { $case: 'done', value: {} };
const opened = (log: bigint): ServerEvent => ({ $case: 'opened', value: { log } });

/** Ids and positions have 63 bits. */
function checkNumbers(values: readonly unknown[]): void {
  for (const value of values) {
    if (Array.isArray(value)) checkNumbers(value);
    else if (typeof value === 'bigint' && value >> 63n !== 0n) throw new WeftError('bad_request', 'a number is above 2^63-1');
  }
}

/** How many of these, in this order, fit one page; at least one. */
function fitting(entries: readonly Entry[]): number {
  let bytes = 0;
  const beyond = entries.findIndex((entry) => {
    bytes += entrySize(entry) + 4;
    return bytes > cellLimits.pushBytesMax;
  });
  return beyond < 0 ? entries.length : Math.max(1, beyond);
}

function checkSeq(seq: bigint): void {
  if (seq > BigInt(Number.MAX_SAFE_INTEGER)) throw new WeftError('bad_request', 'a seq is at most 2^53-1');
}

function checkId(clientEntryId: bigint): void {
  if (clientEntryId === 0n || clientEntryId >> 63n !== 0n) throw new WeftError('bad_request', 'client_entry_id must be 1 to 2^63-1');
}

/** The log an append ended in; throws the fault it ended with. */
function acceptedLog(outcome: Outcome): bigint {
  if (outcome.type === 'accepted') return outcome.entry.log;
  if (outcome.type === 'fault') throw new WeftError(outcome.code, detailOf(outcome.code, outcome.text), outcome.afterMs ?? 0);
  throw new WeftError('internal', outcome.type);
}

const detailOf = (code: FaultCode, text: string | undefined): string => (text === undefined || text === faults[code].text ? '' : text);

const toLogInfo = (info: UserLogInfo, user: bigint): LogInfo => ({
  head: { log: info.log, epoch: info.epoch, seq: BigInt(info.head), ord: BigInt(info.ord), ts: BigInt(info.ts) },
  kind: protoKindOf(info.kind),
  peer: info.kind === 'direct' ? (info.low === user ? info.high : info.low) : 0n,
  title: info.title,
  visibleFrom: BigInt(info.from),
  seenSeq: BigInt(info.seen),
  unread: BigInt(Math.max(0, info.ord - info.seenOrd)),
});
