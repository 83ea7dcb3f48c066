import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hash } from '@node-rs/argon2';
import { WeftError } from '@weft/proto/faults.ts';
import { accountLimits, assertAccountLimits } from './account-limits.ts';
import { HashingQueue } from './hashing-queue.ts';
import { Passwords } from './passwords.ts';

const one = randomBytes(32);
const two = randomBytes(32);
const phrase = 'a long enough phrase';

const refused = (fn: () => void): boolean => {
  try {
    fn();
    return false;
  } catch (error) {
    return error instanceof WeftError && error.code === 'password_invalid';
  }
};

test('the limits of accounts fit together', () => assertAccountLimits());

test('length is all that is asked of a password, besides not being common', async () => {
  const passwords = await Passwords.open({ peppers: new Map([[1, one]]) });
  for (const good of ['iiiiiiii-', 'ünïcödé!', '😀😀😀😀😀😀😀😀', '  spaces  ', 'x'.repeat(256), 'correct horse battery staple'])
    assert.equal(
      refused(() => passwords.check(good, 'ana')),
      false,
      good,
    );
  for (const bad of [
    '',
    'seven77',
    '😀😀😀😀',
    'x'.repeat(257),
    'password',
    'Password1',
    'QWERTYUIOP',
    'iloveyou123',
    '12345678',
    'ｐａｓｓｗｏｒｄ',
  ])
    assert.equal(
      refused(() => passwords.check(bad, 'ana')),
      true,
      bad,
    );
  assert.equal(
    refused(() => passwords.check('Ana-Maria', 'ana-maria')),
    true,
  );
});

test('a password matches by its pepper only, and an old pepper or cost asks for a new hash', async () => {
  const old = await Passwords.open({ peppers: new Map([[1, one]]) });
  const stored = await old.hash(phrase);
  assert.match(stored.hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.equal(stored.pepper, 1);
  assert.equal(await old.match(phrase, stored), 'right');
  assert.equal(await old.match(`${phrase}.`, stored), 'wrong');
  assert.equal(await old.match(phrase, undefined), 'wrong');
  const rotated = await Passwords.open({
    peppers: new Map([
      [1, one],
      [2, two],
    ]),
  });
  assert.equal(await rotated.match(phrase, stored), 'right-but-old');
  assert.equal((await rotated.hash(phrase)).pepper, 2);
  assert.equal(await (await Passwords.open({ peppers: new Map([[2, two]]) })).match(phrase, stored), 'wrong');
  assert.equal(await (await Passwords.open({ peppers: new Map([[1, two]]) })).match(phrase, stored), 'wrong');
  const cheap = { hash: await hash(phrase, { memoryCost: 8_192, timeCost: 2, parallelism: 1, secret: one }), pepper: 1 };
  assert.equal(await old.match(phrase, cheap), 'right-but-old');
});

test('the same password has another hash each time, and its spelling in Unicode does not matter', async () => {
  const passwords = await Passwords.open({ peppers: new Map([[1, one]]) });
  const stored = await passwords.hash('e\u0301toile filante');
  assert.notEqual(stored.hash, (await passwords.hash('e\u0301toile filante')).hash);
  assert.equal(await passwords.match('\u00e9toile filante', stored), 'right');
});

test('two hashes run at once, the others wait in turn, too many are refused at once', async () => {
  const queue = new HashingQueue({ runningMax: 2, waitingMax: 3 });
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const work = (n: number) => () =>
    new Promise<number>((resolve) => {
      started.push(n);
      ends.push(() => resolve(n));
    });
  const running = [0, 1, 2, 3, 4].map((n) => queue.run(work(n)));
  await assert.rejects(
    queue.run(work(5)),
    (error: unknown) => error instanceof WeftError && error.code === 'busy' && error.afterMs === accountLimits.hashesBusyMs,
  );
  assert.deepEqual(started, [0, 1]);
  for (let n = 0; n < 5; n++) {
    ends[n]?.();
    assert.equal(await running[n], n);
    await Promise.resolve();
  }
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  await assert.rejects(
    queue.run(() => Promise.reject(new Error('broken'))),
    /broken/,
  );
  assert.equal(await queue.run(async () => 'free'), 'free');
});
