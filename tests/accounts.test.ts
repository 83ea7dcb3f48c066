import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { accountLimits } from '@weft/cells/accounts/account-limits.ts';
import { Attempts } from '@weft/cells/accounts/attempts.ts';
import { CellKeys } from '@weft/cells/accounts/cell-keys.ts';
import { WrongHome } from '@weft/cells/accounts/homes.ts';
import { Passwords } from '@weft/cells/accounts/passwords.ts';
import { AccessTokens } from '@weft/cells/accounts/tokens.ts';
import { type FaultCode, WeftError } from '@weft/proto/faults.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { Ground, type TestNode, until } from './accounts-cells.ts';

let ground: Ground;
let eu: TestNode;
let us: TestNode;
let made = 0;

before(async () => {
  ground = await Ground.open();
  eu = await ground.node('eu-1');
  us = await ground.node('us-1');
  await until('both cells know each other', () =>
    [eu, us].every((node) => ['eu-1', 'us-1'].every((name) => (node.homes.cell(name)?.keys.length ?? 0) > 0)),
  );
});

after(async () => {
  await us?.[Symbol.asyncDispose]();
  await eu?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

const newHandle = (): string => `person-${made++}`;
const person = (handle = newHandle(), password = 'a long enough phrase') => ({ handle, password, device: 'phone', address: '192.0.2.1' });

async function fault(promise: Promise<unknown>, code: FaultCode): Promise<WeftError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof WeftError, `expected ${code}, not ${error}`);
  assert.equal(error.code, code);
  return error;
}

const rows = async (node: TestNode, table: 'users' | 'signups', handle: string): Promise<number> =>
  Number((await node.pool.query(`select count(*) as n from ${table} where handle = $1`, [handle])).rows[0].n);

test('who signed up in one region logs in there, and is sent there from the other with one redirect', async () => {
  const ana = person();
  const made = await eu.accounts.signUp({ ...ana, handle: ana.handle.toUpperCase() });
  assert.equal(made.handle, ana.handle);
  assert.equal(made.cell, 'eu-1');
  assert.ok(made.urls.includes(eu.url));
  const again = await eu.accounts.logIn({ ...ana, device: 'laptop' });
  assert.equal(again.user, made.user);
  assert.equal(again.selfLog, made.selfLog);
  assert.notEqual(again.session, made.session);
  const elsewhere = await fault(us.accounts.logIn(ana), 'wrong_home');
  assert.ok(elsewhere instanceof WrongHome);
  assert.deepEqual([elsewhere.cell, elsewhere.url], ['eu-1', eu.url]);
  assert.deepEqual(await us.accounts.findUser(ana.handle), { user: made.user, handle: ana.handle, cell: 'eu-1' });
  await fault(us.accounts.findUser('nobody-at-all'), 'unknown_user');
});

test('an unknown handle and a wrong password get the same answer', async () => {
  const ana = person();
  await eu.accounts.signUp(ana);
  const wrong = await fault(eu.accounts.logIn({ ...ana, password: 'another phrase entirely' }), 'login_failed');
  const unknown = await fault(eu.accounts.logIn(person('nobody-here')), 'login_failed');
  assert.equal(wrong.message, unknown.message);
});

test('a weak password is refused before anything is written', async () => {
  for (const password of ['short', 'password123', 'PASSWORD123', 'x'.repeat(257), 'ａａａａａａａ']) {
    const ana = person(undefined, password);
    await fault(eu.accounts.signUp(ana), 'password_invalid');
    assert.equal(await rows(eu, 'signups', ana.handle), 0);
  }
});

test('a stolen table verifies no known password without the pepper', async () => {
  const ana = person();
  await eu.accounts.signUp(ana);
  const { rows: stolen } = await eu.pool.query('select password_hash as hash, pepper from users where handle = $1', [ana.handle]);
  const stored = { hash: String(stolen[0].hash), pepper: Number(stolen[0].pepper) };
  const thief = await Passwords.open({ peppers: new Map([[1, randomBytes(32)]]) });
  assert.equal(await thief.match(ana.password, stored), 'wrong');
  const owner = await Passwords.open({ peppers: new Map([[1, ground.pepper]]) });
  assert.equal(await owner.match(ana.password, stored), 'right');
});

test('the pepper is rotated live: old passwords go on working and are hashed anew when used', async () => {
  const ana = person();
  await eu.accounts.signUp(ana);
  const fresh = randomBytes(32);
  await using rotated = await ground.node('eu-1', {
    peppers: new Map([
      [1, ground.pepper],
      [2, fresh],
    ]),
  });
  await rotated.accounts.logIn(ana);
  const { rows: kept } = await eu.pool.query('select pepper from users where handle = $1', [ana.handle]);
  assert.equal(kept[0].pepper, 2n);
  await using later = await ground.node('eu-1', { peppers: new Map([[2, fresh]]) });
  await later.accounts.logIn(ana);
});

test('look-alike handles that race in two regions make exactly one user', async () => {
  for (const [one, other] of [
    ['paypal', 'paypa1'],
    ['mike', 'rnike'],
    ['раура', 'paypa'],
  ] as const) {
    const results = await Promise.allSettled([
      eu.accounts.signUp(person(one)),
      us.accounts.signUp(person(other)),
      us.accounts.signUp({ ...person(one), device: 'laptop' }),
    ]);
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1, JSON.stringify(results.map((r) => r.status)));
    for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'handle_taken');
    for (const node of [eu, us]) for (const handle of [one, other]) assert.equal(await rows(node, 'signups', handle), 0);
  }
});

test('one device that sends its sign-up twice at once is one user', async () => {
  const ana = person();
  for (let i = 0; i < 5; i++) {
    const twice = { ...person(), address: `192.0.2.${i}` };
    const [one, two] = await Promise.all([eu.accounts.signUp(twice), eu.accounts.signUp(twice)]);
    assert.equal(one.user, two.user);
    assert.equal(await rows(eu, 'users', twice.handle), 1);
    assert.equal(await rows(eu, 'signups', twice.handle), 0);
  }
  await eu.accounts.signUp(ana);
  await fault(eu.accounts.signUp({ ...ana, device: 'laptop' }), 'handle_taken');
  await fault(eu.accounts.signUp({ ...ana, password: 'not the same phrase' }), 'handle_taken');
});

for (const step of ['signup-after-intention', 'signup-after-reserve', 'signup-before-activate'] as const) {
  test(`a sign-up that crashed at ${step} is finished by its repetition`, async () => {
    const ana = person();
    eu.crashAt = step;
    await assert.rejects(eu.accounts.signUp(ana), /crash/);
    eu.crashAt = undefined;
    assert.equal(await rows(eu, 'signups', ana.handle), 1);
    const { rows: begun } = await eu.pool.query('select user_id from signups where handle = $1', [ana.handle]);
    const user = await eu.accounts.signUp(ana);
    assert.equal(user.user, begun[0].user_id);
    assert.equal(await rows(eu, 'signups', ana.handle), 0);
  });

  test(`a sign-up that crashed at ${step} is finished by the sweeper of another node`, async () => {
    const ana = person();
    eu.crashAt = step;
    await assert.rejects(eu.accounts.signUp(ana), /crash/);
    eu.crashAt = undefined;
    await using other = await ground.node('eu-1');
    // The request is no longer under way by then.
    other.clock.moveMs = accountLimits.signUpUnderWayMs + 1_000;
    other.clock.tick();
    await until('the user', async () => (await rows(eu, 'users', ana.handle)) === 1);
    assert.equal(await rows(eu, 'signups', ana.handle), 0);
    await eu.accounts.logIn(ana);
  });
}

test('an intention whose handle somebody else got meanwhile is removed by the sweeper', async () => {
  const ana = person();
  eu.crashAt = 'signup-after-intention';
  await assert.rejects(eu.accounts.signUp(ana), /crash/);
  eu.crashAt = undefined;
  await us.accounts.signUp(ana);
  await using other = await ground.node('eu-1');
  other.clock.moveMs = accountLimits.signUpUnderWayMs + 1_000;
  other.clock.tick();
  await until('the end of the intention', async () => (await rows(eu, 'signups', ana.handle)) === 0);
  assert.equal(await rows(eu, 'users', ana.handle), 0);
});

test('without the directory nobody signs up, everybody logs in and refreshes, and a waiting sign-up goes on afterwards', async () => {
  const ana = person();
  const bo = person();
  const held = await eu.accounts.signUp(ana);
  await ground.stopDirectory();
  const refused = await fault(eu.accounts.signUp(bo), 'directory_away');
  assert.equal(refused.retry, 'later');
  await eu.accounts.logIn({ ...ana, device: 'laptop' });
  await eu.accounts.refresh(held.refreshToken);
  await eu.accounts.verifyAccess(held.accessToken);
  await fault(eu.accounts.logIn(person('nobody-there')), 'login_failed');
  await ground.startDirectory();
  await until('the directory', () =>
    eu.accounts.signUp(bo).then(
      () => true,
      () => false,
    ),
  );
});

test('log-ins are limited per account, also for accounts that do not exist, and a right one does not count', async () => {
  await using strict = await ground.node('eu-1', { attempts: { account: 3 } });
  const ana = person();
  await strict.accounts.signUp(ana);
  for (let i = 0; i < 6; i++) await strict.accounts.logIn(ana);
  for (const tried of [ana.handle, 'nobody-ever']) {
    const wrong = { ...person(tried), password: 'wrong wrong wrong' };
    for (let i = 0; i < 3; i++) await fault(strict.accounts.logIn(wrong), 'login_failed');
    const limited = await fault(strict.accounts.logIn(wrong), 'rate_limited');
    assert.ok(limited.afterMs > 0 && limited.afterMs <= 60_000);
  }
  await fault(strict.accounts.logIn(ana), 'rate_limited');
});

test('wrong passwords count against their address, tries under way and right ones do not', async () => {
  const redis = openRedis(ground.redisUrl, silentLog(), { keyPrefix: 'address:' });
  try {
    await until('Redis', () => redis.status === 'ready');
    const attempts = new Attempts(redis, { address: { points: 3, ms: 60_000 } });
    const together = await Promise.all(Array.from({ length: 10 }, (_, i) => attempts.logIn(`person-${i}`, '192.0.2.1')));
    for (const [i, each] of together.entries()) await each.settle(i < 3);
    await fault(attempts.logIn('somebody', '192.0.2.1'), 'rate_limited');
    await attempts.logIn('somebody', '192.0.2.2');
  } finally {
    closeRedis(redis);
  }
});

test('while Redis is away each node counts for itself', async () => {
  const away = openRedis('redis://127.0.0.1:1', silentLog());
  try {
    const attempts = new Attempts(away, { account: { points: 2, ms: 60_000 } });
    const first = await attempts.logIn('ana', '192.0.2.1');
    await attempts.logIn('ana', '192.0.2.1');
    for (let i = 0; i < 3; i++) await fault(attempts.logIn('ana', '192.0.2.1'), 'rate_limited');
    await first.settle(false);
    await attempts.logIn('ana', '192.0.2.2');
    await attempts.logIn('bo', '192.0.2.1');
  } finally {
    closeRedis(away);
  }
});

test("the private keys of a cell open with its secret only, and only as this cell's", async () => {
  const log = silentLog();
  await assert.rejects(CellKeys.open({ pool: eu.pool, secret: randomBytes(32), clock: eu.clock, cell: 'eu-1', log }), /WEFT_KEY_SECRET/);
});

test('a token is accepted at the home of its user only, and verifies offline everywhere', async () => {
  const made = await eu.accounts.signUp(person());
  const access = await eu.accounts.verifyAccess(made.accessToken);
  assert.deepEqual({ ...access }, { user: made.user, session: made.session, device: 'phone', issuer: 'eu-1', endsMs: made.accessEndsMs });
  assert.deepEqual(await eu.accounts.verifyAccess(made.accessToken), access);
  const elsewhere = await fault(us.accounts.verifyAccess(made.accessToken), 'wrong_home');
  assert.ok(elsewhere instanceof WrongHome);
  assert.ok(us.homes.cell('eu-1')?.urls.includes(elsewhere.url));
  const [head = '', claims = '', signature = ''] = made.accessToken.split('.');
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url').toString()), sub: '1' })).toString(
    'base64url',
  );
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid: 'eu-1.1' })).toString('base64url');
  for (const bad of [
    '',
    'x',
    'a.b.c',
    `${head}.${forged}.${signature}`,
    `${none}.${claims}.`,
    `${head}.${claims}.AAAA`,
    'x'.repeat(5_000),
  ]) {
    await fault(eu.accounts.verifyAccess(bad), 'token_invalid');
    await fault(us.accounts.verifyAccess(bad), 'token_invalid');
  }
});

test('a cell that signs for a user it does not home is not believed', async () => {
  const made = await eu.accounts.signUp(person());
  const hostile = new AccessTokens({ own: { name: 'us-1', number: 3 }, keys: us.keys, homes: us.homes, clock: us.clock });
  const forged = await hostile.issue({ user: made.user, session: made.session, device: 'phone' });
  await fault(eu.accounts.verifyAccess(forged.token), 'token_invalid');
});

test('an access token ends after ten minutes, remembered or not', async () => {
  await using node = await ground.node('eu-1');
  const made = await node.accounts.signUp(person());
  await node.accounts.verifyAccess(made.accessToken);
  assert.ok(made.accessEndsMs - node.clock.now() <= 10 * 60_000);
  node.clock.moveMs = 10 * 60_000;
  await fault(node.accounts.verifyAccess(made.accessToken), 'token_expired');
  await using fresh = await ground.node('eu-1');
  fresh.clock.moveMs = 10 * 60_000;
  await fault(fresh.accounts.verifyAccess(made.accessToken), 'token_expired');
});

test('a rotated token key is published first, used later, and the tokens of the old one stay good', async () => {
  await using node = await ground.node('eu-1');
  const old = await node.accounts.signUp(person());
  const before = node.keys.current('token').version;
  let told = 0;
  using _told = eu.keys.on('change', () => told++);
  await node.keys.rotate('token');
  await Promise.all([node.keys.rotate('seal'), eu.keys.rotate('seal')]);
  assert.equal(node.keys.current('token').version, before, 'other cells do not know it yet');
  await eu.keys.reload();
  assert.ok(told > 0);
  assert.deepEqual(eu.keys.publicKeys(), node.keys.publicKeys());
  await node.register();
  await until(
    'the other cell knows it',
    () => us.homes.cell('eu-1')?.keys.some((key) => key.use === 'KEY_USE_TOKEN' && key.version === before + 1) ?? false,
  );
  node.clock.moveMs = accountLimits.keyStartsMs + 1;
  assert.equal(node.keys.current('token').version, before + 1);
  const fresh = await node.accounts.refresh(old.refreshToken);
  await node.accounts.verifyAccess(fresh.accessToken);
  await node.accounts.verifyAccess(old.accessToken);
  await fault(us.accounts.verifyAccess(fresh.accessToken), 'wrong_home');
  node.clock.moveMs += accountLimits.tokenKeyKeptMs;
  assert.deepEqual(
    node.keys.all('token').map((key) => key.version),
    [before + 1],
  );
  const { rows: kept } = await node.pool.query('select public_key, wrapped_key from cell_keys');
  for (const key of node.keys.all('seal')) assert.ok(!kept.some((row) => row.wrapped_key.includes(key.privateKey)));
});
