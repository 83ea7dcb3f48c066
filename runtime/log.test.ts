import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLog({ service: 'cells', cell: 'eu-1', node: 'a', level: 'info' }, { write: (line) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line));
}

test('a line is one JSON object with service, cell, node, level and time', () => {
  const [line] = logged((log) => log.info({ port: 1 }, 'serving'));
  assert.deepEqual(
    [line?.service, line?.cell, line?.node, line?.level, line?.msg, line?.port],
    ['cells', 'eu-1', 'a', 'info', 'serving', 1],
  );
  assert(!Number.isNaN(Date.parse(String(line?.time))));
});

test('tokens, passwords, bodies and addresses are not written', () => {
  const lines = logged((log) => {
    log.info({
      token: 'hush',
      request: { password: 'hush', headers: { authorization: 'hush' } },
      entry: { body: 'hush', text: 'hush' },
      email: 'hush',
      refresh_token: 'hush',
    });
    log.child({ token: 'hush' }).info('child');
  });
  assert.doesNotMatch(JSON.stringify(lines), /hush/);
  assert.match(JSON.stringify(lines), /\[redacted\]/);
});

test("an error is written with its causes, but not with a database's detail", () => {
  const error = Object.assign(new Error('duplicate key', { cause: new Error('deeper') }), { code: '23505', detail: 'Key (handle)=(hush)' });
  const [line] = logged((log) => log.error({ err: error }, 'failed'));
  assert.doesNotMatch(JSON.stringify(line), /hush/);
  assert.match(JSON.stringify(line), /23505.*deeper/);
});
