// Over an IndexedDB that keeps the standard's rules (transactions that end by themselves, structured clones, versions) in
// memory; a browser's own is not tried here.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IDBFactory } from 'fake-indexeddb';
import { type IndexedDb, idbOutbox } from './outbox-idb.ts';
import type { StoredAppend } from './outbox-store.ts';

describe('the outbox in IndexedDB', () => {
  const factory = (): IndexedDb => new IDBFactory() as unknown as IndexedDb;
  const append = (id: number): StoredAppend => ({ id: String(id), lane: 'log:7', text: `m${id}\n"` });

  it('gives back what was put and not removed, in order, however often it is opened', async () => {
    const browser = factory();
    const first = idbOutbox(browser, 'ana');
    assert.deepEqual(await first.load(), []);
    await Promise.all([10, 9, 2, 30, 4].map((id) => first.put(append(id))));
    await first.remove('2');
    await first.close();
    const second = idbOutbox(browser, 'ana');
    assert.deepEqual(await second.load(), [10, 9, 30, 4].map(append));
    // What another life of the page put can be removed, and order goes on.
    await Promise.all([second.put(append(1)), second.remove('9')]);
    await second.close();
    const third = idbOutbox(browser, 'ana');
    assert.deepEqual(await third.load(), [10, 30, 4, 1].map(append));
    await third.close();
  });

  it('keeps the outboxes of two people apart', async () => {
    const browser = factory();
    const [ana, bo] = [idbOutbox(browser, 'ana'), idbOutbox(browser, 'bo')];
    await Promise.all([ana.load(), bo.load()]);
    await Promise.all([ana.put(append(1)), bo.put(append(2))]);
    await Promise.all([ana.close(), bo.close()]);
    assert.deepEqual(await idbOutbox(browser, 'bo').load(), [append(2)]);
  });

  it('removes what is still being put, and forgets nothing else', async () => {
    const browser = factory();
    const outbox = idbOutbox(browser, 'ana');
    await outbox.load();
    const puts = [1, 2, 3].map((id) => outbox.put(append(id)));
    await Promise.all([outbox.remove('2'), outbox.remove('4'), ...puts]);
    await outbox.close();
    assert.deepEqual(await idbOutbox(browser, 'ana').load(), [append(1), append(3)]);
  });

  it('says so when it is not open', async () => {
    const outbox = idbOutbox(factory(), 'ana');
    await assert.rejects(outbox.put(append(1)), /not open/);
    await outbox.load();
    await outbox.close();
    await assert.rejects(outbox.put(append(1)), /not open/);
  });
});
