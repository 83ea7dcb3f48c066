// The calls to the directory. Every one has a deadline of grpcDeadlineMs and rejects with WeftError('directory_away') when no answer came in
// time; a call without an answer may have been done, and may be made again.

import { WeftError } from '@weft/proto/faults.ts';
import type {
  CellRecord,
  ReadChangesRequest,
  ReadChangesResponse,
  ReserveRequest,
  UserRecord,
} from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { DirectoryServiceService as service } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { type GrpcChannel, grpcChannel } from './grpc.ts';
import type { TlsIdentity } from './mutual-tls.ts';

export type Reservation = { readonly kind: 'reserved'; readonly user: UserRecord } | { readonly kind: 'taken' };

/** What processes other than the replica itself ask of the directory. */
export interface Directory {
  /** Inserts the user, or says that the handle is taken. The same user and handle again: the same answer. */
  reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Reservation>;
  /** Publishes urls, generation and keys; answers the merged record, whose generation may be higher than the one given (then nothing was taken). */
  registerCell(cell: CellRecord, signal?: AbortSignal): Promise<CellRecord>;
  /** By normalised handle or by id. Undefined: the directory says there is none. */
  findUser(by: { readonly handle: string } | { readonly id: bigint }, signal?: AbortSignal): Promise<UserRecord | undefined>;
}

export class DirectoryClient implements Directory, Disposable {
  readonly #channel: GrpcChannel;

  /** `address`: host:port. */
  constructor(address: string, token: string, tls?: TlsIdentity) {
    this.#channel = grpcChannel(address, token, { tls });
  }

  async reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Reservation> {
    const { result } = await this.#channel.call(service.reserve, request, options(signal));
    if (result?.$case === 'reserved') return { kind: 'reserved', user: result.value };
    if (result?.$case === 'taken') return { kind: 'taken' };
    throw new WeftError('internal', 'the directory answered nothing');
  }

  async registerCell(cell: CellRecord, signal?: AbortSignal): Promise<CellRecord> {
    const answer = await this.#channel.call(service.registerCell, { cell }, options(signal));
    if (answer.cell === undefined) throw new WeftError('internal', 'the directory answered nothing');
    return answer.cell;
  }

  async findUser(by: { readonly handle: string } | { readonly id: bigint }, signal?: AbortSignal): Promise<UserRecord | undefined> {
    const request = 'handle' in by ? ({ $case: 'handle', value: by.handle } as const) : ({ $case: 'id', value: by.id } as const);
    try {
      return (await this.#channel.call(service.findUser, { by: request }, options(signal))).user;
    } catch (error) {
      if (error instanceof WeftError && error.code === 'unknown_user') return undefined;
      throw error;
    }
  }

  /** One page; what is in it counts only after its signature was checked. */
  readChanges(request: ReadChangesRequest, signal?: AbortSignal): Promise<ReadChangesResponse> {
    return this.#channel.call(service.readChanges, request, options(signal));
  }

  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
  }
}

const options = (signal: AbortSignal | undefined): { signal?: AbortSignal } => (signal === undefined ? {} : { signal });
