// The router's HTTP door.
import { WeftError } from '@weft/proto/faults.ts';
import type { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { normaliseHandle } from '@weft/proto/handle.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { corsHeaders } from '@weft/runtime/cors.ts';
import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import type { Log } from '@weft/runtime/log.ts';
import { answerHealth, type Health } from '@weft/runtime/observability.ts';
import type { Random } from '@weft/runtime/random.ts';
import { traceOf } from '@weft/runtime/trace.ts';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { z } from 'zod';
import { AddressRate } from './address-rate.ts';
import { type Home, HomeFinder } from './find-home.ts';
import { limits } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { place } from './placement.ts';
import { type Problem, problemFrom, problemOf } from './problem.ts';

export interface HttpParts {
  readonly replica: DirectoryReplica;
  /** Region of this router: the nearest one for who names none. */
  readonly region: string;
  readonly requestsPerSecond: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Origins of pages that may call; none by default. */
  readonly origins?: readonly string[];
}

const regionName = z.string().regex(/^[a-z0-9-]{1,32}$/);
const placementBody = z.object({ handle: z.string(), region: regionName.optional(), residency: regionName.optional() });
const handlePath = z.object({ handle: z.string() });
const idPath = z.object({
  id: z
    .string()
    .regex(/^\d{1,19}$/, 'a user id is a decimal number')
    .transform(BigInt)
    .refine((id) => id < 1n << 63n, 'a user id has 63 bits'),
});

/** Not yet listening. */
export function httpDoor(parts: HttpParts): FastifyInstance {
  const app = fastify({
    genReqId: (request) => traceOf(request.headers.traceparent),
    bodyLimit: limits.bodyBytesMax,
    requestTimeout: limits.requestMsMax,
    keepAliveTimeout: limits.idleMsMax,
    routerOptions: { maxParamLength: limits.pathPartCharsMax },
    frameworkErrors: (error, _request, reply) => void answerError(parts, error, reply as FastifyReply),
  });
  app.setErrorHandler((error, _request, reply) => answerError(parts, error, reply));
  app.setNotFoundHandler((_request, reply) => send(reply, problemOf(new WeftError('unknown_request', 'no such path'), 404)));
  limitRate(app, parts);
  allowOrigins(app, new Set(parts.origins ?? []));
  healthRoutes(app, parts.health);
  placementRoute(app, parts);
  userRoutes(app, new HomeFinder(parts.replica));
  app.get('/v1/cells', () => ({ cells: parts.replica.cells().map(cellAnswer) }));
  return app;
}

function limitRate(app: FastifyInstance, { clock, metrics, requestsPerSecond }: HttpParts): void {
  const burst = Math.max(limits.requestsBurstMax, requestsPerSecond);
  const rate = new AddressRate({ perSecond: requestsPerSecond, burst, addressesMax: limits.addressesMax });
  app.addHook('onRequest', async (request) => {
    if (!request.url.startsWith('/v1/')) return;
    const afterMs = rate.take(request.ip, clock.monotonic());
    if (afterMs > 0) throw new WeftError('rate_limited', '', afterMs);
  });
  app.addHook('onResponse', async (request, reply) => {
    metrics.requests.inc({ route: request.routeOptions.url ?? 'none', status: String(reply.statusCode) });
  });
}

function allowOrigins(app: FastifyInstance, origins: ReadonlySet<string>): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-trace-id', request.id);
    const preflight = request.method === 'OPTIONS';
    const cors = corsHeaders(request.headers.origin, origins, preflight);
    if (cors === undefined) return;
    reply.headers(cors);
    if (preflight) return reply.code(204).send();
  });
}

function healthRoutes(app: FastifyInstance, health: Health): void {
  for (const path of ['/live', '/ready']) {
    app.get(path, (_request, reply) => {
      const answer = answerHealth(health, path);
      return reply
        .code(answer?.status ?? 503)
        .type('application/json')
        .send(answer?.body);
    });
  }
}

function placementRoute(app: FastifyInstance, { replica, region, random }: HttpParts): void {
  app.post('/v1/placement', (request) => {
    const body = parse(placementBody, request.body);
    // Somebody who tries again after a lost answer must come to the same cell, which knows what became of the sign-up.
    const held = replica.userByHandle(normaliseHandle(body.handle));
    const home = held && replica.cell(replica.answering(held.home));
    const cell = home ?? place(replica.cells(), { region: body.region ?? region, residency: body.residency }, random);
    if (cell === undefined) {
      const where = body.residency === undefined ? 'no cell is open' : `no cell is open in ${body.residency}`;
      throw new WeftError('not_ready', where, limits.awayAfterMs);
    }
    return { cell: cell.name, urls: cell.urls };
  });
}

function userRoutes(app: FastifyInstance, homes: HomeFinder): void {
  app.get('/v1/users/by-handle/:handle', async (request) => {
    const { handle } = parse(handlePath, request.params);
    return homeAnswer(await homes.find({ handle: normaliseHandle(handle) }));
  });
  app.get('/v1/users/:id', async (request) => homeAnswer(await homes.find(parse(idPath, request.params))));
}

const homeAnswer = ({ user, cell }: Home): object => ({ user: String(user.id), handle: user.handle, cell: cell.name, urls: cell.urls });

const states: Readonly<Record<string, string>> = {
  CELL_STATE_OPEN: 'open',
  CELL_STATE_DRAINING: 'draining',
  CELL_STATE_RETIRED: 'retired',
};
const cellAnswer = (cell: CellRecord): object => ({
  name: cell.name,
  region: cell.region,
  number: cell.number,
  urls: cell.urls,
  state: states[cell.state] ?? 'unknown',
});

function parse<T>(shape: z.ZodType<T>, value: unknown): T {
  const read = shape.safeParse(value);
  if (read.success) return read.data;
  throw new WeftError('bad_request', read.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; '));
}

function answerError(parts: HttpParts, error: unknown, reply: FastifyReply): FastifyReply {
  const problem = problemFrom(error);
  if (problem !== undefined) return send(reply, problem);
  parts.log.error({ err: error, trace: reply.request.id }, 'a request failed');
  return send(reply, problemOf(new WeftError('internal')));
}

function send(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.after_ms > 0) void reply.header('retry-after', String(Math.ceil(problem.after_ms / 1_000)));
  return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}
