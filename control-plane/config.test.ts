import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '@weft/runtime/config.ts';
import { readControlPlaneConfig } from './config.ts';

const good = {
  WEFT_PORT: '21000',
  WEFT_METRICS_PORT: '21001',
  WEFT_PG_URL: 'postgres://u:p@127.0.0.1:21200/directory',
  WEFT_SERVICE_TOKENS: `eu-1:${'0'.repeat(64)},router-eu:${'1'.repeat(64)}`,
  WEFT_CELL_PLAN: '[{"name":"eu-1","number":1,"region":"eu"}]',
  WEFT_HUB_URLS: 'nats://127.0.0.1:21100, nats://127.0.0.1:21110',
  WEFT_DIRECTORY_NKEY: 'SU',
  WEFT_DIRECTORY_SIGN_KEY: Buffer.alloc(32).toString('base64url'),
};

test('a good configuration is read', () => {
  const config = readControlPlaneConfig(good);
  assert.deepEqual(config.cells, [{ name: 'eu-1', number: 1, region: 'eu', weight: 100 }]);
  assert.deepEqual(config.hubUrls, ['nats://127.0.0.1:21100', 'nats://127.0.0.1:21110']);
  assert.deepEqual([...config.tokens.keys()], ['eu-1', 'router-eu']);
});

test('every problem is told at once, by its key', () => {
  const bad = {
    ...good,
    WEFT_PORT: 'x',
    WEFT_SERVICE_TOKENS: 'eu-1:short',
    WEFT_CELL_PLAN: '[',
    WEFT_HUB_URLS: '::',
    WEFT_DIRECTORY_SIGN_KEY: 'AAAA',
  };
  assert.throws(
    () => readControlPlaneConfig(bad),
    (error) => {
      assert(error instanceof ConfigError);
      for (const key of ['WEFT_PORT', 'WEFT_SERVICE_TOKENS', 'WEFT_CELL_PLAN', 'WEFT_HUB_URLS', 'WEFT_DIRECTORY_SIGN_KEY'])
        assert.match(error.message, new RegExp(`${key}: `));
      return true;
    },
  );
});

test('a plan that names a cell or a number twice is refused', () => {
  const plan = (cells: object[]): string => JSON.stringify(cells);
  for (const cells of [
    [
      { name: 'eu-1', number: 1, region: 'eu' },
      { name: 'eu-1', number: 2, region: 'eu' },
    ],
    [
      { name: 'eu-1', number: 1, region: 'eu' },
      { name: 'eu-2', number: 1, region: 'eu' },
    ],
  ]) {
    assert.throws(() => readControlPlaneConfig({ ...good, WEFT_CELL_PLAN: plan(cells) }), ConfigError);
  }
});
