import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { z } from 'zod';
import {
  address,
  ConfigError,
  flag,
  port,
  processKeys,
  publicBytes,
  readConfig,
  Secret,
  secret,
  secretBytes,
  secretUrl,
  wholeNumber,
} from './config.ts';

const schema = z.object({
  ...processKeys,
  WEFT_PORT: port(),
  WEFT_CELL: z.string().default('eu-1'),
  WEFT_TOKEN: secret(),
  WEFT_KEY: secretBytes(32),
  WEFT_PUBLIC_KEY: publicBytes(32),
  WEFT_URL: secretUrl('postgres', 'postgresql'),
  WEFT_ADDR: address(),
  WEFT_PRODUCTION: flag().default(false),
  WEFT_RATE: wholeNumber(1, 100).optional(),
});

const key = Buffer.alloc(32, 7).toString('base64url');
const good = {
  WEFT_PORT: '21500',
  WEFT_TOKEN: 'hush',
  WEFT_KEY: key,
  WEFT_PUBLIC_KEY: key,
  WEFT_URL: 'postgres://weft:hush@127.0.0.1/weft',
  WEFT_ADDR: '127.0.0.1:21000',
  WEFT_CELL: '',
  HOME: '/root',
};

test('a good environment is read, with defaults for what is empty or absent', () => {
  const config = readConfig(schema, good);
  assert.equal(config.WEFT_PORT, 21_500);
  assert.equal(config.WEFT_CELL, 'eu-1');
  assert.equal(config.WEFT_HOST, '127.0.0.1');
  assert.equal(config.WEFT_PRODUCTION, false);
  assert.equal(config.WEFT_RATE, undefined);
  assert.equal(config.WEFT_TOKEN.reveal(), 'hush');
  assert.deepEqual(config.WEFT_PUBLIC_KEY, Buffer.alloc(32, 7));
});

test('all problems are told at once, each with its key and without its value', () => {
  const bad = {
    ...good,
    WEFT_PORT: '99999',
    WEFT_TOKEN: undefined,
    WEFT_KEY: 'hush',
    WEFT_URL: 'http://hush',
    WEFT_ADDR: 'hush',
    WEFT_LOG_LEVEL: 'hush',
    WEFT_PRODUCTION: 'yes',
    WEFT_RATE: '1e1',
  };
  assert.throws(
    () => readConfig(schema, bad),
    (error) => {
      assert(error instanceof ConfigError);
      assert.deepEqual(error.problems.map((problem) => problem.split(':')[0]).sort(), [
        'WEFT_ADDR',
        'WEFT_KEY',
        'WEFT_LOG_LEVEL',
        'WEFT_PORT',
        'WEFT_PRODUCTION',
        'WEFT_RATE',
        'WEFT_TOKEN',
        'WEFT_URL',
      ]);
      assert(error.problems.includes('WEFT_TOKEN: is missing'));
      assert.doesNotMatch(error.message, /hush|99999/);
      return true;
    },
  );
});

test('a secret prints as [secret] everywhere', () => {
  const value = new Secret('hush');
  for (const text of [String(value), JSON.stringify({ value }), inspect({ value }, { depth: 5, showHidden: true }), `${value}`]) {
    assert.match(text, /\[secret\]/);
    assert.doesNotMatch(text, /hush/);
  }
});
