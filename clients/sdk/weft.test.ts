import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import fc from 'fast-check';
import type { Conversation } from './conversation.ts';
import type { Entry } from './entry.ts';
import type { FakeCell } from './fake-cell.ts';
import { memorySession } from './session.ts';
import { during, pair, router, textsOf, world } from './staged-world.ts';
import { Weft } from './weft.ts';

function goDown(cell: FakeCell): void {
  cell.up = false;
  cell.cut();
}

/** The next two appends are told to come again. */
function laterTwice(): FakeCell['answer'] {
  let left = 2;
  return () => (left-- > 0 ? { code: 'busy', text: '', retry: 'RETRY_LATER', afterMs: 50 } : undefined);
}

describe('the client', () => {
  it('signs up, opens a conversation and sends, and both sides see the same entry once', async () => {
    const { clock, shown, toBo, close } = await pair();
    const at = await during(clock, toBo.send('hello').accepted);
    await clock.advance(10);
    assert.deepEqual([textsOf(shown.ana), textsOf(shown.bo)], [['hello'], ['hello']]);
    assert.equal(shown.bo.at(-1)?.seq, at.seq);
    await close();
  });

  it('says what it is doing, and gets live again on the next node after a cut', async () => {
    const { clock, cell, ana, toBo, shown, close } = await pair();
    const states: string[] = [];
    ana.on('state', ({ name }) => states.push(name));
    cell.up = false;
    cell.cut();
    const sent = toBo.send('written in the dark');
    await clock.advance(60_000);
    assert.equal(sent.state, 'queued');
    assert.ok(['waiting', 'locating', 'connecting'].includes(ana.state.name));
    cell.up = true;
    await clock.advance(20_000);
    assert.equal(ana.state.name, 'live');
    assert.deepEqual(states.slice(-3), ['connecting', 'greeting', 'live']);
    assert.deepEqual(textsOf(shown.bo), ['written in the dark']);
    await close();
  });

  it('notices a lost push at the next heartbeat and repairs it', async () => {
    const { clock, cell, toBo, shown, close } = await pair();
    cell.loses = () => true;
    toBo.send('lost on the way');
    await clock.advance(100);
    assert.deepEqual(textsOf(shown.bo), []);
    cell.loses = () => false;
    cell.beat();
    await clock.advance(100);
    assert.deepEqual(textsOf(shown.bo), ['lost on the way']);
    await close();
  });

  it('fills a hole within a second without any heartbeat', async () => {
    const { clock, cell, toBo, shown, close } = await pair();
    let lose = true;
    cell.loses = () => lose;
    toBo.send('one');
    await clock.advance(10);
    lose = false;
    toBo.send('two');
    await clock.advance(400);
    assert.deepEqual(textsOf(shown.bo), ['one', 'two']);
    await close();
  });

  it('catches up on what was written while it was away, also in a conversation it did not know', async () => {
    const { clock, cell, toBo, shown, close, log, ana } = await pair();
    const cy = await during(
      clock,
      Weft.signUp({
        router,
        handle: 'cy',
        password: 'correct horse',
        device: 'cy',
        ports: { clock, http: cell.http, socket: cell.socket },
      }),
    );
    await during(clock, toBo.send('before').accepted);
    cell.cut();
    cell.add(log, ana.me, { $case: 'text', value: 'while away' });
    const other = cell.direct(cy.me, cell.user('bo'));
    cell.add(other, cy.me, { $case: 'text', value: 'from cy' });
    await clock.advance(20_000);
    assert.deepEqual(textsOf(shown.bo).sort(), ['before', 'from cy', 'while away']);
    await cy.close();
    await close();
  });

  it('gives the last entries and then what follows, without overlap or hole', async () => {
    const { clock, cell, bo, ana, log, close } = await pair();
    cell.loses = () => true;
    for (let i = 0; i < 450; i++) cell.add(log, ana.me, { $case: 'text', value: `old ${i}` });
    cell.loses = () => false;
    const conversation = bo.conversation(log);
    const got: Entry[] = [];
    const stop = conversation.subscribe((entry) => got.push(entry), { last: 300 });
    await clock.advance(3);
    cell.add(log, ana.me, { $case: 'text', value: 'in between' });
    await clock.advance(5_000);
    cell.add(log, ana.me, { $case: 'text', value: 'live' });
    await clock.advance(1_000);
    assert.equal(got.at(-1)?.text, 'live');
    assert.ok(got.length >= 301);
    for (const [i, { seq }] of got.entries()) assert.equal(seq, (got[0]?.seq ?? 0) + i);
    stop();
    const page = await during(clock, conversation.history({ before: 10, limit: 5 }));
    assert.deepEqual(
      page.entries.map(({ seq }) => seq),
      [5, 6, 7, 8, 9],
    );
    await close();
  });

  it('follows a conversation from the first entry on', async () => {
    const { clock, cell, bo, ana, log, close } = await pair();
    for (let i = 0; i < 5; i++) cell.add(log, ana.me, { $case: 'text', value: `${i}` });
    const got: number[] = [];
    bo.conversation(log).subscribe(({ seq }) => got.push(seq), { from: 1 });
    await clock.advance(1_000);
    cell.add(log, ana.me, { $case: 'text', value: 'more' });
    await clock.advance(1_000);
    assert.deepEqual(got, [1, 2, 3, 4, 5, 6, 7]);
    await close();
  });

  it('tells marks, and sends only the furthest of its own', async () => {
    const { clock, ana, bo, toBo, shown, close } = await pair();
    const marks: string[] = [];
    ana.on('mark', ({ user, kind, seq }) => user === bo.me && marks.push(`${kind} ${seq}`));
    for (const text of ['a', 'b']) toBo.send(text);
    await clock.advance(1_500);
    const last = shown.bo.at(-1);
    assert.ok(last);
    bo.conversation(last.log).seen(last);
    await clock.advance(1_500);
    assert.deepEqual(marks, [`delivered ${last.seq}`, `seen ${last.seq}`]);
    await close();
  });

  it('learns from its self log which conversations it is in', async () => {
    const { clock, bo, ana, close } = await pair();
    const joined: Conversation[] = [];
    bo.on('conversation', (conversation) => joined.push(conversation));
    const group = await during(clock, ana.createGroup('lunch', [bo.me]));
    await clock.advance(500);
    assert.deepEqual(
      joined.map(({ log, kind, title }) => [log, kind, title]),
      [[group.log, 'group', 'lunch']],
    );
    const infos = await during(clock, bo.conversations());
    assert.deepEqual(infos.map(({ kind }) => kind).sort(), ['direct', 'group']);
    assert.equal(await during(clock, bo.nameOf(ana.me)), 'ana');
    await close();
  });

  it('is told when an entry is refused, at once or later', async () => {
    const { clock, cell, ana, toBo, close } = await pair();
    const refused: string[] = [];
    ana.on('refused', ({ text, fault }) => refused.push(`${text}: ${fault?.code}`));
    cell.answer = () => ({ code: 'not_a_member', text: '', retry: 'RETRY_NEVER', afterMs: 0 });
    toBo.send('a');
    cell.answer = () => 'pending';
    await clock.advance(5);
    cell.answer = () => 'pending';
    const pending = toBo.send('b');
    await clock.advance(5);
    const code = pending.state === 'pending' ? 'not_a_member' : assert.fail(pending.state);
    cell.push('ana', { $case: 'refused', value: { log: 0n, clientEntryId: pending.id, code, text: '', peer: 0n } });
    await clock.advance(5);
    assert.deepEqual(refused.at(-1), 'b: not_a_member');
    await close();
  });

  it('renews its token while it is live', async () => {
    const { clock, cell, ana, close } = await pair();
    for (let i = 0; i < 100; i++) {
      await clock.advance(10_000);
      cell.beat();
    }
    await clock.advance(10);
    assert.ok(cell.refreshes >= 2);
    assert.equal(ana.state.name, 'live');
    await close();
  });

  it('goes on from a stored session without a password, and stops when replaced', async () => {
    const { clock, cell, join } = world();
    const session = memorySession();
    await (await join('ana', { session })).close();
    const again = await Weft.resume({ ports: { clock, http: cell.http, socket: cell.socket, session } });
    await clock.advance(10);
    assert.equal(again.state.name, 'live');
    cell.cut(4005);
    assert.deepEqual([again.state.name, again.state.stop], ['stopped', 'replaced']);
    await again.close();
    await assert.rejects(Weft.resume({}), (error) => error instanceof WeftError && error.code === 'session_ended');
  });

  it('leaves no timer behind', async () => {
    const { clock, cell, close, toBo } = await pair();
    toBo.send('a');
    await clock.advance(3);
    await close();
    cell.cut();
    await clock.advance(20);
    assert.equal(clock.pending, 0);
  });

  it('shows everything once and in order on both sides, whatever the network does', async () => {
    const act = fc.constantFrom('ana', 'bo', 'cut', 'lose', 'keep', 'later', 'down', 'up', 'beat', 'wait');
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (walk) => {
        const { clock, cell, shown, bo, toBo, log, close } = await pair();
        const toAna = bo.conversation(log);
        let written = 0;
        const does: Record<typeof act extends fc.Arbitrary<infer A extends string> ? A : never, () => unknown> = {
          ana: () => toBo.send(`ana ${++written}`),
          bo: () => toAna.send(`bo ${++written}`),
          cut: () => cell.cut(),
          lose: () => (cell.loses = () => true),
          keep: () => (cell.loses = () => false),
          later: () => (cell.answer = laterTwice()),
          down: () => goDown(cell),
          up: () => (cell.up = true),
          beat: () => cell.beat(),
          wait: () => clock.advance(3_000),
        };
        for (const each of walk) {
          await does[each]();
          await clock.advance(2);
        }
        cell.up = true;
        cell.loses = () => false;
        await clock.advance(40_000);
        cell.beat();
        await clock.advance(2_000);
        const owned = cell.texts(log);
        assert.equal(owned.length, written);
        for (const who of ['ana', 'bo']) {
          const own = owned.filter((text) => text.startsWith(who)).map((text) => Number(text.split(' ')[1]));
          assert.deepEqual(
            own,
            own.toSorted((a, b) => a - b),
            'what one device sends keeps its order',
          );
        }
        assert.deepEqual(textsOf(shown.ana), owned);
        assert.deepEqual(textsOf(shown.bo), owned);
        await close();
      }),
      { numRuns: 60 },
    );
  });
});
