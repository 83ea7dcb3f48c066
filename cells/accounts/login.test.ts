import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accountLimits } from './account-limits.ts';
import { LogIns, type LogInsOptions } from './login.ts';

const who = { handle: 'ana', password: 'a private test fabric', address: '192.0.2.1' };

function logInsOver(query: () => Promise<never>): LogIns {
  return new LogIns({
    pool: { query },
    attempts: { logIn: async () => ({ settle: async () => undefined }) },
    log: { warn: () => undefined },
  } as unknown as LogInsOptions);
}

test('a store that has no session to spare is told as busy, another error as it is', async () => {
  for (const [message, code] of [
    ['timeout exceeded when trying to connect', 'busy'],
    ['no such column', undefined],
  ] as const)
    await assert.rejects(logInsOver(() => Promise.reject(new Error(message))).logIn(who), (error: { code?: string; afterMs?: number }) => {
      assert.equal(error.code, code);
      return code === undefined || error.afterMs === accountLimits.hashesBusyMs;
    });
});

test('no more log-ins than can be hashed or wait for it ask the store; a place that is given up is free again', async () => {
  const asked: PromiseWithResolvers<never>[] = [];
  const logIns = logInsOver(() => {
    const answer = Promise.withResolvers<never>();
    asked.push(answer);
    return answer.promise;
  });
  const underWay = Array.from({ length: accountLimits.logInsUnderWayMax }, () => logIns.logIn(who));
  await assert.rejects(logIns.logIn(who), { code: 'busy' });
  for (const { reject } of asked) reject(new Error('no such column'));
  await Promise.allSettled(underWay);
  assert.equal(asked.length, accountLimits.logInsUnderWayMax);
  void logIns.logIn(who).catch(() => undefined);
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(asked.length, accountLimits.logInsUnderWayMax + 1);
});
