import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accountLimits } from '@weft/cells/accounts/account-limits.ts';
import { RefreshTokens } from '@weft/cells/accounts/refresh-tokens.ts';
import { clientLimits } from '@weft/client/limits.ts';
import { type FaultCode, WeftError } from '@weft/proto/faults.ts';
import { Ground, type TestNode, until } from './accounts-cells.ts';

let ground: Ground;
let eu: TestNode;
let other: TestNode;
let made = 0;

before(async () => {
  ground = await Ground.open();
  eu = await ground.node('eu-1');
  other = await ground.node('eu-1');
});

after(async () => {
  await other?.[Symbol.asyncDispose]();
  await eu?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

const person = () => ({ handle: `person-${made++}`, password: 'a long enough phrase', device: 'phone', address: '192.0.2.1' });

async function fault(promise: Promise<unknown>, code: FaultCode): Promise<WeftError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof WeftError, `expected ${code}, not ${error}`);
  assert.equal(error.code, code);
  return error;
}

const send = (node: TestNode, path: string, options: RequestInit & { json?: unknown } = {}): Promise<Response> =>
  fetch(
    `${node.url}${path}`,
    options.json === undefined
      ? options
      : {
          ...options,
          method: 'POST',
          body: JSON.stringify(options.json),
          headers: { 'content-type': 'application/json', ...options.headers },
        },
  );

test('a refresh token is spent by its use, and its answer is repeated while it may have been lost', async () => {
  const made = await eu.accounts.signUp(person());
  const next = await eu.accounts.refresh(made.refreshToken);
  assert.notEqual(next.refreshToken, made.refreshToken);
  const again = await other.accounts.refresh(made.refreshToken);
  assert.equal(again.refreshToken, next.refreshToken);
  assert.equal(again.session, made.session);
  const third = await eu.accounts.refresh(again.refreshToken);
  assert.notEqual(third.refreshToken, next.refreshToken);
});

test('refreshes with one token at the same time on two nodes get one answer', async () => {
  const made = await eu.accounts.signUp(person());
  const answers = await Promise.all([eu, other, eu, other].map((node) => node.accounts.refresh(made.refreshToken)));
  assert.equal(new Set(answers.map((answer) => answer.refreshToken)).size, 1);
  await eu.accounts.refresh(answers[0]?.refreshToken ?? '');
});

test('a spent refresh token kills its family: after the grace, or once its successor was used', async () => {
  await using node = await ground.node('eu-1');
  const late = await node.accounts.signUp(person());
  const next = await node.accounts.refresh(late.refreshToken);
  node.clock.moveMs = accountLimits.refreshGraceMs + 1;
  await fault(node.accounts.refresh(late.refreshToken), 'session_ended');
  await fault(node.accounts.refresh(next.refreshToken), 'session_ended');
  await fault(node.accounts.verifyAccess(next.accessToken), 'session_ended');
  assert.deepEqual(await node.accounts.sessions.endedAmong([late.session, 5n]), [late.session, 5n]);

  const used = await eu.accounts.signUp(person());
  const second = await eu.accounts.refresh(used.refreshToken);
  const third = await eu.accounts.refresh(second.refreshToken);
  await fault(eu.accounts.refresh(used.refreshToken), 'session_ended');
  await fault(eu.accounts.refresh(third.refreshToken), 'session_ended');
  const { rows } = await eu.pool.query('select ended_reason from sessions where session_id = $1', [used.session]);
  assert.equal(rows[0].ended_reason, 'refresh_reused');
});

test('the grace of a spent refresh token begins anew when the store is back: until then nobody could ask again', async () => {
  await using node = await ground.node('eu-1');
  const made = await node.accounts.signUp(person());
  const lost = await node.accounts.refresh(made.refreshToken);
  const query = node.pool.query;
  const polls: Promise<unknown>[] = [];
  const poll = async (answer: (...asked: Parameters<typeof query>) => unknown): Promise<void> => {
    const before = polls.length;
    Object.assign(node.pool, {
      query: (...asked: Parameters<typeof query>) => {
        const result = Promise.resolve(answer(...asked));
        polls.push(result);
        return result;
      },
    });
    node.clock.tick();
    await until('the node asked its store', () => polls.length > before);
    await Promise.allSettled(polls);
    Object.assign(node.pool, { query });
  };
  await poll(() => Promise.reject(new Error('the store is away')));
  node.clock.moveMs = 10 * accountLimits.refreshGraceMs;
  await poll((...asked) => query.apply(node.pool, asked));
  const again = await node.accounts.refresh(made.refreshToken);
  assert.equal(again.refreshToken, lost.refreshToken);
  node.clock.moveMs += accountLimits.refreshGraceMs + 1;
  await fault(node.accounts.refresh(made.refreshToken), 'session_ended');
});

test('who lost an answer and waits as long as a client may still gets it', () => {
  assert.ok(accountLimits.refreshGraceMs > clientLimits.askedPauseMsMax + clientLimits.restMsMax);
  assert.ok(accountLimits.refreshGraceMs > clientLimits.renewAgainMs + clientLimits.restMsMax);
});

/** A token whose last byte is another. */
function flipped(token: string): string {
  const bytes = Buffer.from(token, 'base64url');
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  return bytes.toString('base64url');
}

test('a made-up refresh token ends nobody, and the table does not hold what is needed to make one', async () => {
  const made = await eu.accounts.signUp(person());
  const forged = new RefreshTokens(Buffer.alloc(32, 7)).first(made.session);
  for (const bad of [
    forged.text,
    '',
    'x',
    `${made.refreshToken}A`,
    // Other letters at the end may be the same bits.
    flipped(made.refreshToken),
    'A'.repeat(made.refreshToken.length),
  ]) {
    await fault(eu.accounts.refresh(bad), 'token_invalid');
  }
  const { rows } = await eu.pool.query('select * from sessions where session_id = $1', [made.session]);
  const token = Buffer.from(made.refreshToken, 'base64url');
  for (const value of Object.values(rows[0])) assert.ok(!Buffer.isBuffer(value) || !token.includes(value));
  await eu.accounts.refresh(made.refreshToken);
});

test('a session ends after 30 idle days, and after 60 days however busy', async () => {
  const day = 24 * 60 * 60_000;
  await using node = await ground.node('eu-1');
  const idle = await node.accounts.signUp(person());
  const busy = await node.accounts.signUp(person());
  let token = busy.refreshToken;
  for (let days = 20; days < 60; days += 20) {
    node.clock.moveMs = days * day;
    token = (await node.accounts.refresh(token)).refreshToken;
  }
  await fault(node.accounts.refresh(idle.refreshToken), 'session_ended');
  node.clock.moveMs = 60 * day + 1_000;
  await fault(node.accounts.refresh(token), 'session_ended');
});

test('a log-in of the same device replaces its session, an eleventh device is refused, also when several race', async () => {
  const ana = person();
  const first = await eu.accounts.signUp(ana);
  const second = await other.accounts.logIn(ana);
  await fault(eu.accounts.refresh(first.refreshToken), 'session_ended');
  for (let i = 2; i < accountLimits.devicesPerUser; i++) await eu.accounts.logIn({ ...ana, device: `device-${i}` });
  const results = await Promise.allSettled(
    [eu, other, eu, other, eu, other].map((node, i) => node.accounts.logIn({ ...ana, device: `last-${i}` })),
  );
  assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
  await fault(eu.accounts.logIn({ ...ana, device: 'one-more' }), 'too_many_devices');
  await eu.accounts.refresh(second.refreshToken);
});

test('a session that ends on one node is told on it at once and on every other node within seconds', async () => {
  const here: [bigint, string][] = [];
  const there: [bigint, string][] = [];
  using _here = eu.accounts.sessions.onEnded((ended, from) => void here.push(...ended.map((each): [bigint, string] => [each, from])));
  using _there = other.accounts.sessions.onEnded((ended, from) => void there.push(...ended.map((each): [bigint, string] => [each, from])));
  const made = await eu.accounts.signUp(person());
  await other.accounts.verifyAccess(made.accessToken);
  assert.equal(await eu.accounts.sessions.end(made.session, 'revoked'), true);
  assert.equal(await eu.accounts.sessions.end(made.session, 'revoked'), false);
  assert.deepEqual(here, [[made.session, 'here']]);
  other.clock.tick();
  await until('the other node knows', () => there.length > 0);
  other.accounts.sessions.note([made.session]);
  assert.deepEqual(
    there.filter(([session]) => session === made.session),
    [[made.session, 'elsewhere']],
  );
  await fault(other.accounts.verifyAccess(made.accessToken), 'session_ended');
  await using late = await ground.node('eu-1');
  await fault(late.accounts.verifyAccess(made.accessToken), 'session_ended');
});

test('a storm of log-ins is told to come later, and whoever is in the queue gets in', async () => {
  const ana = person();
  await eu.accounts.signUp(ana);
  const storm = 4 * accountLimits.hashesWaitingMax;
  const results = await Promise.allSettled(
    Array.from({ length: storm }, (_, i) => eu.accounts.logIn({ ...ana, handle: `stranger-${i}`, address: `192.0.2.${i % 256}` })),
  );
  const codes = results.map((result) => (result.status === 'rejected' ? (result.reason as WeftError).code : 'in'));
  assert.deepEqual([...new Set(codes)].sort(), ['busy', 'login_failed']);
  assert.ok(codes.filter((code) => code === 'login_failed').length >= accountLimits.hashesWaitingMax);
  await eu.accounts.logIn(ana);
});

test('the REST door signs up, logs in, refreshes, logs out and tells who is who', async () => {
  const { address: _address, ...ana } = person();
  const created = await send(eu, '/v1/accounts', { json: ana });
  assert.equal(created.status, 201);
  const session = (await created.json()) as Record<string, unknown>;
  assert.deepEqual(Object.keys(session).sort(), [
    'access_ends',
    'access_token',
    'cell',
    'handle',
    'refresh_token',
    'self_log',
    'session',
    'urls',
    'user',
  ]);
  assert.match(String(session.user), /^\d+$/);
  assert.equal(created.headers.get('cache-control'), 'no-store');
  assert.equal(created.headers.get('access-control-allow-origin'), null);
  const logged = (await (await send(eu, '/v1/sessions', { json: { ...ana, device: 'laptop' } })).json()) as Record<string, string>;
  const refreshed = await send(other, '/v1/sessions/refresh', { json: { refresh_token: logged.refresh_token } });
  assert.equal(refreshed.status, 200);
  assert.deepEqual(await (await send(eu, `/v1/users/by-handle/${ana.handle.toUpperCase()}`)).json(), {
    user: session.user,
    handle: ana.handle,
    cell: 'eu-1',
  });
  const authorization = `Bearer ${logged.access_token}`;
  assert.equal((await send(eu, '/v1/sessions/current', { method: 'DELETE', headers: { authorization } })).status, 204);
  assert.equal((await send(eu, '/v1/sessions/current', { method: 'DELETE', headers: { authorization } })).status, 401);
  const keys = (await (await send(eu, '/.well-known/jwks.json')).json()) as { keys: Record<string, string>[] };
  assert.deepEqual(Object.keys(keys.keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  assert.equal((await send(eu, '/live')).status, 200);
  assert.equal((await send(eu, '/ready')).status, 200);
});

test('what the REST door refuses is a problem with its code', async () => {
  const { address: _address, ...ana } = person();
  const json = { 'content-type': 'application/json' };
  const refusals: [string, RequestInit & { json?: unknown }, number, string][] = [
    ['/v1/accounts', { json: { ...ana, handle: 'x' } }, 400, 'handle_invalid'],
    ['/v1/accounts', { json: { ...ana, password: 'short' } }, 400, 'password_invalid'],
    ['/v1/accounts', { json: { ...ana, device: 'a b' } }, 400, 'bad_request'],
    ['/v1/accounts', { json: { ...ana, handle: 7 } }, 400, 'bad_request'],
    ['/v1/accounts', { json: [] }, 400, 'bad_request'],
    ['/v1/accounts', { method: 'POST', body: '{"handle":', headers: json }, 400, 'bad_request'],
    ['/v1/accounts', { method: 'POST' }, 400, 'bad_request'],
    ['/v1/accounts', { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }, 415, 'bad_request'],
    ['/v1/accounts', { json: { ...ana, more: 'x'.repeat(17_000) } }, 413, 'bad_request'],
    ['/v1/sessions', { json: ana }, 401, 'login_failed'],
    ['/v1/sessions/refresh', { json: { refresh_token: 'x' } }, 401, 'token_invalid'],
    ['/v1/sessions/current', { method: 'DELETE' }, 401, 'token_invalid'],
    ['/v1/users/by-handle/nobody-knows', {}, 404, 'unknown_user'],
    ['/v1/users/by-handle/%E0%A4%A', {}, 400, 'bad_request'],
    ['/v1/nothing', {}, 404, 'unknown_request'],
  ];
  for (const [path, request, status, code] of refusals) {
    const answer = await send(eu, path, request);
    const problem = (await answer.json()) as Record<string, unknown>;
    assert.deepEqual([answer.status, problem.status, problem.code], [status, status, code], `${path} ${JSON.stringify(problem)}`);
    assert.equal(answer.headers.get('content-type')?.split(';')[0], 'application/problem+json');
    assert.deepEqual(Object.keys(problem).sort(), ['after_ms', 'code', 'detail', 'retry', 'status', 'title', 'type']);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.ok(!JSON.stringify(problem).includes(ana.password));
  }
});

test('a log-in at the wrong cell is answered 421 with the home, and only named origins may call from a page', async () => {
  const { address: _address, ...ana } = person();
  await send(eu, '/v1/accounts', { json: ana });
  await using us = await ground.node('us-1', { origins: ['https://chat.example'] });
  const answer = await send(us, '/v1/sessions', { json: ana });
  assert.equal(answer.status, 421);
  const problem = (await answer.json()) as Record<string, string>;
  assert.deepEqual([problem.code, problem.retry, problem.cell], ['wrong_home', 'elsewhere', 'eu-1']);
  assert.ok(URL.canParse(problem.url ?? ''));
  const preflight = (origin: string) =>
    send(us, '/v1/sessions', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } });
  assert.equal((await preflight('https://chat.example')).headers.get('access-control-allow-origin'), 'https://chat.example');
  assert.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null);
});
