// What operators ask of a node, each with a token of their own: where a message is, how the books stand, which cell owns a log,
// to give it to another, and the two words that only people can say: this store was restored, and that cell will not come back.
import { WeftError } from '@weft/proto/faults.ts';
import type { BooksAnswer, Passport } from '@weft/proto/passport.ts';
import { type ServiceTokens, tokenName } from '@weft/runtime/grpc.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { EntryId } from '../passport/passports.ts';
import { read } from './requests.ts';

export interface LogOwnership {
  readonly log: bigint;
  readonly epoch: bigint;
  /** Name of the owner. */
  readonly owner: string;
  readonly head: number;
  readonly status: string;
}

export interface OperatorDesk {
  /** What this cell's store and this node know of the entry. */
  where(id: EntryId): Promise<Passport>;
  books(): BooksAnswer;
  /** Undefined for a log this cell does not keep. */
  ownership(log: bigint): Promise<LogOwnership | undefined>;
  /** Gives the log to the cell of this name. Throws WeftError. */
  handOver(log: bigint, to: string): Promise<void>;
  /** Begins a new generation: every node of the cell starts anew. */
  restored(): Promise<void>;
  /** After a restore, nothing is waited for from this cell. */
  lost(cell: string): Promise<void>;
}

const number = z
  .string()
  .regex(/^[1-9]\d{0,18}$/, 'must be a decimal number')
  .transform(BigInt)
  .refine((value) => value < 1n << 63n, 'must have 63 bits');
const name = z.string().min(1).max(64);
const oneLog = z.object({ log: number });
const oneEntry = z.object({ log: number, seq: number, author: number, id: number }).partial();
const handover = z.object({ log: number, to: name });
const lostCell = z.object({ cell: name });

export function operatorRoutes(app: FastifyInstance, desk: OperatorDesk, tokens: ServiceTokens): void {
  const check = ({ headers }: FastifyRequest): void => {
    if (tokenName(headers.authorization, tokens) === undefined) throw new WeftError('token_invalid', 'operators only');
  };
  app.get('/v1/operator/where', async (request) => {
    check(request);
    return desk.where(entryId(read(oneEntry, request.query)));
  });
  app.get('/v1/operator/books', async (request) => {
    check(request);
    return desk.books();
  });
  app.get('/v1/operator/logs/:log', async (request) => {
    check(request);
    const found = await desk.ownership(read(oneLog, request.params).log);
    if (!found) throw new WeftError('unknown_log');
    return { ...found, log: String(found.log), epoch: String(found.epoch) };
  });
  app.post('/v1/operator/handover', async (request) => {
    check(request);
    const { log, to } = read(handover, request.body);
    await desk.handOver(log, to);
    return { log: String(log), to };
  });
  app.post('/v1/operator/restored', async (request) => {
    check(request);
    await desk.restored();
    return {};
  });
  app.post('/v1/operator/lost', async (request) => {
    check(request);
    const { cell } = read(lostCell, request.body);
    await desk.lost(cell);
    return { cell };
  });
}

function entryId({ log, seq, author, id }: z.infer<typeof oneEntry>): EntryId {
  if (log !== undefined && seq !== undefined && seq <= Number.MAX_SAFE_INTEGER) return { log, seq: Number(seq) };
  if (author !== undefined && id !== undefined) return { author, clientEntryId: id };
  throw new WeftError('bad_request', 'log and seq, or author and id');
}
