// The REST door of a cell's node: accounts and sessions, users by handle, keys, health. The WebSocket is mounted on the same server.
import { WeftError } from '@weft/proto/faults.ts';
import { corsHeaders } from '@weft/runtime/cors.ts';
import type { Log } from '@weft/runtime/log.ts';
import { answerHealth, type Health } from '@weft/runtime/observability.ts';
import { traceOf } from '@weft/runtime/trace.ts';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Accounts, Grant } from '../accounts/accounts.ts';
import type { CellKeys } from '../accounts/cell-keys.ts';
import type { HeadKeys } from '../proof/head-keys.ts';
import { httpLimits } from './http-limits.ts';
import { problemOf, problemOfError, problemType } from './problems.ts';
import { bearer, byHandle, credentials, read, refreshing } from './requests.ts';

export interface HttpOptions {
  /** Name of the cell. */
  readonly cell: string;
  readonly accounts: Accounts;
  readonly keys: CellKeys;
  readonly headKeys: Pick<HeadKeys, 'published'>;
  readonly health: Health;
  readonly log: Log;
  /** Origins whose pages may call; none by default. */
  readonly origins?: readonly string[];
  /** The proxies whose X-Forwarded-For is believed; none by default. */
  readonly trustProxy?: string | boolean;
}

/** Not listening yet. */
export function buildHttp(options: HttpOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    genReqId: (request) => traceOf(request.headers.traceparent),
    bodyLimit: httpLimits.bodyBytesMax,
    requestTimeout: httpLimits.requestMsMax,
    keepAliveTimeout: httpLimits.connectionIdleMsMax,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: httpLimits.handleCharsMax },
    trustProxy: options.trustProxy ?? false,
    // What fails before there is a route, such as a path that is no URL.
    frameworkErrors: (error, request, reply) => answerError(options.log, error, { request, reply: reply.headers(closedHeaders) }),
  });
  app.removeContentTypeParser('text/plain');
  secure(app, new Set(options.origins ?? []));
  app.setErrorHandler((error, request, reply) => answerError(options.log, error, { request, reply }));
  app.setNotFoundHandler((_request, reply) => {
    const problem = problemOf(new WeftError('unknown_request', 'there is no such resource'), 404);
    return reply.code(problem.status).type(problemType).send(problem);
  });
  accountRoutes(app, options.accounts);
  userRoutes(app, options.accounts);
  plainRoutes(app, options);
  return app;
}

function accountRoutes(app: FastifyInstance, accounts: Accounts): void {
  app.post('/v1/accounts', async (request, reply) => {
    const grant = await accounts.signUp({ ...read(credentials, request.body), address: request.ip });
    return reply.code(201).send(sessionOf(grant));
  });
  app.post('/v1/sessions', async (request) => sessionOf(await accounts.logIn({ ...read(credentials, request.body), address: request.ip })));
  app.post('/v1/sessions/refresh', async (request) => sessionOf(await accounts.refresh(read(refreshing, request.body).refresh_token)));
  app.delete('/v1/sessions/current', async (request, reply) => {
    await accounts.logOut(bearer(request.headers.authorization));
    return reply.code(204).send();
  });
}

function userRoutes(app: FastifyInstance, accounts: Accounts): void {
  app.get('/v1/users/by-handle/:handle', async (request) => {
    const found = await accounts.findUser(read(byHandle, request.params).handle);
    return { user: String(found.user), handle: found.handle, cell: found.cell };
  });
}

function plainRoutes(app: FastifyInstance, { cell, keys, headKeys, health }: HttpOptions): void {
  app.get('/.well-known/jwks.json', async (_request, reply) => {
    const tokens = keys.all('token').map((key) => ({ kid: `${cell}.${key.version}`, key: key.publicKey }));
    const heads = headKeys.published().map((each) => ({ ...each, weft_cell: each.cell }));
    const jwks = [...tokens, ...heads].map(({ kid, key, ...more }) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      use: 'sig',
      alg: 'EdDSA',
      kid,
      x: Buffer.from(key).toString('base64url'),
      ...('weft_cell' in more ? { weft_cell: more.weft_cell } : {}),
    }));
    return reply
      .header('cache-control', `public, max-age=${httpLimits.keysSecondsMax}`)
      .type('application/jwk-set+json')
      .send(JSON.stringify({ keys: jwks }));
  });
  for (const path of ['/live', '/ready']) {
    app.get(path, async (_request, reply) => {
      const answer = answerHealth(health, path);
      return reply
        .code(answer?.status ?? 503)
        .type('application/json')
        .send(answer?.body ?? '');
    });
  }
}

/** Ids are decimal strings: they do not fit a JSON number. */
const sessionOf = (grant: Grant) => ({
  user: String(grant.user),
  handle: grant.handle,
  cell: grant.cell,
  session: String(grant.session),
  self_log: String(grant.selfLog),
  access_token: grant.accessToken,
  access_ends: grant.accessEndsMs,
  refresh_token: grant.refreshToken,
  urls: grant.urls,
});

/** Nothing here is a page, is kept, or is read by another origin. */
const closedHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

function secure(app: FastifyInstance, origins: ReadonlySet<string>): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(closedHeaders);
    reply.header('x-trace-id', request.id);
    if (request.protocol === 'https') reply.header('strict-transport-security', 'max-age=31536000');
    const preflight = request.method === 'OPTIONS';
    const cors = corsHeaders(request.headers.origin, origins, preflight);
    if (cors === undefined) return;
    reply.headers(cors);
    if (!preflight) return;
    return reply.code(204).send();
  });
}

function answerError(
  log: Log,
  error: unknown,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
): FastifyReply {
  const known = problemOfError(error);
  if (known === undefined)
    log.error({ err: error, trace: request.id, method: request.method, route: request.routeOptions.url }, 'a request failed');
  // What a bug says stays in the log: it may quote what was sent.
  const problem = known ?? problemOf(new WeftError('internal'));
  if (problem.retry === 'later' && problem.after_ms > 0) reply.header('retry-after', Math.ceil(problem.after_ms / 1_000));
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  return reply.code(problem.status).type(problemType).send(problem);
}
