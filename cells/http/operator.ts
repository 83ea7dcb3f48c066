// What operators ask of a cell, with the cell's service token: which cell owns a log, to give it to another, and the two words
// that only people can say: this store was restored, and that cell will not come back.
import { createHash, timingSafeEqual } from 'node:crypto';
import { WeftError } from '@weft/proto/faults.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { bearer, read } from './requests.ts';

export interface LogOwnership {
  readonly log: bigint;
  readonly epoch: bigint;
  /** Name of the owner. */
  readonly owner: string;
  readonly head: number;
  readonly status: string;
}

export interface OperatorDesk {
  /** Undefined for a log this cell does not keep. */
  ownership(log: bigint): Promise<LogOwnership | undefined>;
  /** Gives the log to the cell of this name. Throws WeftError. */
  handOver(log: bigint, to: string): Promise<void>;
  /** Begins a new generation: every node of the cell starts anew. */
  restored(): Promise<void>;
  /** After a restore, nothing is waited for from this cell. */
  lost(cell: string): Promise<void>;
}

const id = z.string().regex(/^[1-9]\d{0,18}$/, 'must be a decimal id');
const name = z.string().min(1).max(64);
const oneLog = z.object({ log: id });
const handover = z.object({ log: id, to: name });
const lostCell = z.object({ cell: name });

export function operatorRoutes(app: FastifyInstance, desk: OperatorDesk, token: string): void {
  const check = (request: FastifyRequest): void => {
    if (!isSame(bearer(request.headers.authorization), token)) throw new WeftError('token_invalid', 'operators only');
  };
  app.get('/v1/operator/logs/:log', async (request) => {
    check(request);
    const found = await desk.ownership(BigInt(read(oneLog, request.params).log));
    if (!found) throw new WeftError('unknown_log');
    return { ...found, log: String(found.log), epoch: String(found.epoch) };
  });
  app.post('/v1/operator/handover', async (request) => {
    check(request);
    const { log, to } = read(handover, request.body);
    await desk.handOver(BigInt(log), to);
    return { log, to };
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

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const isSame = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));
