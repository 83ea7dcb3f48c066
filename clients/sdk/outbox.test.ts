import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import { IDBFactory } from 'fake-indexeddb';
import fc from 'fast-check';
import { type IndexedDb, idbOutbox } from './outbox-idb.ts';
import { KeptStore, open, write } from './staged-outbox.ts';

describe('the outbox', () => {
  it('sends fifty entries written without a connection in order, once', () => {
    const { outbox, owner, connect } = open();
    const texts = Array.from({ length: 50 }, (_, i) => `m${i}`);
    const sent = texts.map((text) => write(outbox, text));
    assert.equal(owner.waiting.length, 0);
    connect();
    assert.equal(owner.waiting.length, 32, 'no more than the window');
    while (owner.waiting.length > 0) owner.decide('accept');
    assert.deepEqual(owner.log, texts);
    assert.ok(sent.every(({ state }) => state === 'accepted'));
    assert.equal(outbox.undecided('log:7').length, 0);
  });

  it('sends unanswered entries first, in order and under their ids, after a reconnect', () => {
    const { outbox, owner, connect, cut } = open();
    connect();
    for (const text of ['a', 'b', 'c']) write(outbox, text);
    owner.decide('accept', false);
    cut();
    write(outbox, 'd');
    connect();
    assert.equal(owner.waiting.length, 4);
    while (owner.waiting.length > 0) owner.decide('accept');
    assert.deepEqual(owner.log, ['a', 'b', 'c', 'd']);
  });

  it('sends what was told to come again although the node took a later one first', async () => {
    const { outbox, owner, connect, clock } = open();
    connect();
    for (const text of ['a', 'b']) write(outbox, text);
    const [first, second] = owner.waiting.splice(0);
    assert.ok(first && second);
    first.waiter.answered({ $case: 'fault', value: { code: 'busy', text: '', retry: 'RETRY_LATER', afterMs: 100 } });
    second.waiter.answered({ $case: 'pending', value: { log: 7n, clientEntryId: second.append.clientEntryId } });
    await clock.advance(1_000);
    assert.deepEqual(
      owner.waiting.map(({ append }) => append.clientEntryId),
      [first.append.clientEntryId],
    );
  });

  it('sends a faulted entry again although it was decided meanwhile: those behind it wait for it', async () => {
    const { outbox, owner, connect, clock } = open();
    connect();
    const first = write(outbox, 'a');
    const second = write(outbox, 'b');
    owner.decide('later');
    assert.equal(outbox.refused(first.id, new WeftError('not_allowed', '')), true);
    owner.decide('later');
    await clock.advance(1_000);
    assert.deepEqual(
      owner.waiting.map(({ append }) => append.clientEntryId),
      [first.id, second.id],
    );
    owner.decide('never');
    owner.decide('accept');
    assert.deepEqual([first.state, second.state], ['refused', 'accepted']);
  });

  it('asks once more for what is pending in a log that was left: its entry would never be seen', async () => {
    const { outbox, owner, connect, clock, isIn } = open();
    connect();
    const sent = write(outbox, 'a');
    owner.decide('pending');
    assert.equal(sent.state, 'pending');
    isIn.log = false;
    outbox.member(7n, false);
    await clock.advance(1_000);
    assert.equal(owner.waiting.length, 1);
    owner.decide('pending');
    await clock.advance(1_000);
    owner.decide('accept');
    assert.equal(sent.state, 'accepted');
    assert.equal(outbox.undecided('log:7').length, 0);
  });

  it('asks for it where only a new membership is told of: a restored home may not know that the user had left', async () => {
    const { outbox, owner, connect, clock } = open();
    connect();
    const sent = write(outbox, 'a');
    owner.decide('pending');
    outbox.member(7n, true);
    await clock.advance(1_000);
    owner.decide('pending');
    await clock.advance(1_000);
    owner.decide('accept');
    assert.equal(sent.state, 'accepted');
  });

  it('goes on asking for it after the user came back: it may have been decided in between', async () => {
    const { outbox, owner, connect, clock } = open();
    connect();
    const sent = write(outbox, 'a');
    owner.decide('pending');
    outbox.member(7n, false);
    outbox.member(7n, true);
    const later = write(outbox, 'b');
    await clock.advance(1_000);
    owner.decide('pending');
    owner.decide('pending');
    await clock.advance(1_000);
    owner.decide('accept');
    assert.equal(sent.state, 'accepted');
    owner.decide('pending');
    await clock.advance(10_000);
    assert.deepEqual([later.state, owner.waiting.length], ['pending', 0], 'what was written after that is shown when it is decided');
  });

  it('honours after_ms and keeps the order over a fault that passes', async () => {
    const { outbox, owner, connect, clock } = open();
    connect();
    for (const text of ['a', 'b', 'c']) write(outbox, text);
    owner.decide('later');
    write(outbox, 'd');
    owner.decide('accept');
    owner.decide('accept');
    assert.deepEqual([owner.waiting.length, owner.log.length], [0, 0], 'the lane stands still');
    await clock.advance(99);
    assert.equal(owner.waiting.length, 0);
    await clock.advance(1_000);
    while (owner.waiting.length > 0) owner.decide('accept');
    assert.deepEqual(owner.log, ['a', 'b', 'c', 'd']);
  });

  it('sets a timer it can wait for, though the pause ends between two looks at the clock', (t) => {
    const { outbox, owner, connect, clock } = open();
    connect();
    write(outbox, 'a');
    owner.decide('later');
    const nowMs = clock.monotonic();
    let looks = 0;
    t.mock.method(clock, 'monotonic', () => (looks++ === 0 ? nowMs : nowMs + 60_000));
    const timer = t.mock.method(clock, 'timer');
    write(outbox, 'b');
    assert.deepEqual(
      timer.mock.calls.map(({ arguments: [ms] }) => ms),
      [1],
    );
  });

  it('lets other conversations go on while one stands still', () => {
    const { outbox, owner, connect } = open();
    connect();
    write(outbox, 'a');
    owner.decide('later');
    write(outbox, 'z', 'log:8');
    assert.equal(owner.waiting.length, 1);
  });

  it('gives every conversation its turn, however many entries wait in another', () => {
    const { outbox, owner, connect } = open();
    connect();
    for (let i = 0; i < 500; i++) write(outbox, `long ${i}`);
    const short = ['log:8', 'log:9'].map((lane) => write(outbox, lane, lane));
    for (let i = 0; i < 40; i++) owner.decide('accept');
    assert.deepEqual(
      short.map(({ state }) => state),
      ['accepted', 'accepted'],
    );
    assert.equal(owner.waiting.length, 32, 'the window stays full');
  });

  it('leaves to other conversations what one that stands still does not use', () => {
    const { outbox, owner, connect } = open();
    connect();
    for (let i = 0; i < 40; i++) write(outbox, `long ${i}`);
    write(outbox, 'other', 'log:8');
    owner.decide('later');
    owner.decide('later');
    assert.deepEqual(owner.waiting.at(-1)?.append.target, { $case: 'log', value: 8n });
  });

  it('drops what is refused for ever and says so', async () => {
    const { outbox, owner, connect } = open();
    connect();
    const refused = write(outbox, 'a');
    owner.decide('never');
    assert.equal(refused.state, 'refused');
    await assert.rejects(refused.accepted, (error) => error instanceof WeftError && error.code === 'not_a_member');
  });

  it('keeps pending entries until they are seen or refused', async () => {
    const { outbox, owner, connect, cut } = open();
    connect();
    const [seen, refused] = [write(outbox, 'a'), write(outbox, 'b')];
    owner.decide('pending');
    owner.decide('pending');
    assert.deepEqual([seen.state, refused.state], ['pending', 'pending']);
    cut();
    connect();
    assert.equal(owner.waiting.length, 2, 'asked for again: the decision may have been missed');
    outbox.seen({
      log: 7n,
      epoch: 1n,
      seq: 4,
      ts: 9,
      author: 1n,
      id: seen.id,
      ord: 4,
      readable: true,
      kind: 'text',
      text: 'a',
      body: undefined,
    });
    assert.equal(outbox.refused(refused.id, new WeftError('not_a_member', '')), true);
    assert.deepEqual(await seen.accepted, { log: 7n, epoch: 1n, seq: 4, ts: 9 });
    assert.equal(refused.state, 'refused');
  });

  it('can be told to forget an entry that never left, and only that', async () => {
    const { outbox, owner, connect, cut } = open();
    const early = write(outbox, 'a');
    assert.equal(early.cancel(), true);
    await assert.rejects(early.accepted, WeftError);
    connect();
    const late = write(outbox, 'b');
    assert.equal(late.cancel(), false, 'on its way');
    cut();
    assert.equal(late.cancel(), false, 'the cell may have it');
    connect();
    while (owner.waiting.length > 0) owner.decide('accept');
    assert.deepEqual(owner.log, ['b']);
  });

  it('goes on after a restart with the same ids, in order', async () => {
    const store = new KeptStore();
    const first = open(store);
    first.connect();
    const ids = ['a', 'b', 'c'].map((text) => write(first.outbox, text).id);
    first.owner.decide('accept', false);
    const second = open(new KeptStore(store.kept));
    await second.outbox.load();
    second.connect();
    assert.deepEqual(
      second.owner.waiting.map(({ append }) => append.clientEntryId),
      ids,
    );
    while (second.owner.waiting.length > 0) second.owner.decide('accept');
    assert.deepEqual(store.kept, []);
  });

  it('goes on after a reload of the page with what IndexedDB kept, in order', async () => {
    const browser = new IDBFactory() as unknown as IndexedDb;
    const first = open(idbOutbox(browser, 'ana'));
    await first.outbox.load();
    first.connect();
    const stored = ['a', 'b', 'c'].map((text) => write(first.outbox, text));
    while (first.owner.waiting.length < 3) await new Promise((resolve) => setImmediate(resolve));
    const ids = stored.map(({ id }) => id);
    const second = open(idbOutbox(browser, 'ana'));
    await second.outbox.load();
    second.connect();
    assert.deepEqual(
      second.owner.waiting.map(({ append }) => append.clientEntryId),
      ids,
    );
    while (second.owner.waiting.length > 0) second.owner.decide('accept');
    assert.deepEqual(second.owner.log, ['a', 'b', 'c']);
    let left: unknown[] = ids;
    for (let looks = 0; left.length > 0 && looks < 100; looks++) left = await idbOutbox(browser, 'ana').load();
    assert.deepEqual(left, []);
  });

  it('refuses what no cell would take', () => {
    const { outbox } = open();
    const code = (text: string): string => {
      try {
        write(outbox, text);
        return '';
      } catch (error) {
        return error instanceof WeftError ? error.code : String(error);
      }
    };
    assert.equal(code('ä'.repeat(8_192)), '');
    assert.equal(code('ä'.repeat(8_193)), 'entry_too_large');
    assert.equal(code('a\0b'), 'bad_text');
    assert.equal(code('\ud800'), 'bad_text');
  });

  it('decides everything once and in order, whatever happens on the way', async () => {
    const act = fc.constantFrom('write', 'accept', 'lost', 'later', 'cut', 'wait');
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (walk) => {
        const { outbox, owner, connect, cut, clock } = open();
        const texts: string[] = [];
        const does: Record<typeof act extends fc.Arbitrary<infer A extends string> ? A : never, () => unknown> = {
          write: () => write(outbox, `m${texts.push(`m${texts.length}`) - 1}`),
          accept: () => owner.decide('accept'),
          lost: () => owner.decide('accept', false),
          later: () => owner.decide('later'),
          cut: () => {
            cut();
            connect();
          },
          wait: () => clock.advance(5_000),
        };
        connect();
        for (const each of walk) await does[each]();
        cut();
        connect();
        for (let i = 0; i < 200 && outbox.undecided('log:7').length > 0; i++) {
          owner.decide('accept');
          await clock.advance(1_000);
        }
        assert.deepEqual(owner.log, texts);
      }),
      { numRuns: 100 },
    );
  });
});
