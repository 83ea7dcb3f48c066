// Over the real file system: what is asked here is what survives in it.

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { clientLimits as limits } from './limits.ts';
import { fileOutbox } from './outbox-file-node.ts';

describe('the outbox file', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-outbox-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const append = (id: number) => ({ id: String(id), lane: 'log:7', text: `m${id}\n"` });

  it('gives back what was put and not removed, in order, and for its owner only', async () => {
    const path = join(folder, 'deep', 'a.jsonl');
    const first = fileOutbox(path);
    assert.deepEqual(await first.load(), []);
    await Promise.all([1, 2, 3, 4].map((id) => first.put(append(id))));
    await first.remove('2');
    await first.close();
    const second = fileOutbox(path);
    assert.deepEqual(await second.load(), [1, 3, 4].map(append));
    await second.close();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  it('forgets only the line that a crash tore', async () => {
    const path = join(folder, 'b.jsonl');
    const first = fileOutbox(path);
    await first.load();
    await first.put(append(1));
    await first.close();
    await appendFile(path, '{"put":{"id":"2","la');
    const second = fileOutbox(path);
    assert.deepEqual(await second.load(), [append(1)]);
    await second.put(append(3));
    await second.close();
    const third = fileOutbox(path);
    assert.deepEqual(await third.load(), [append(1), append(3)]);
    await third.close();
  });

  it('does not grow with what was decided', async () => {
    const path = join(folder, 'c.jsonl');
    const outbox = fileOutbox(path);
    await outbox.load();
    await outbox.put(append(0));
    const puts: Promise<void>[] = [];
    for (let id = 1; id <= limits.outboxDeadLinesMax; id++) puts.push(outbox.put(append(id)), outbox.remove(String(id)));
    await Promise.all(puts);
    await outbox.put(append(-1));
    await outbox.close();
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    assert.ok(lines.length < limits.outboxDeadLinesMax, `${lines.length} lines`);
    const again = fileOutbox(path);
    assert.deepEqual(await again.load(), [append(0), append(-1)]);
    await again.close();
  });
});
