import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';

import { FakeCell } from '@weft/client/fake-cell.ts';
import { fakeVerify } from '@weft/client/fake-log.ts';
import { ManualClock } from '@weft/client/manual-clock.ts';
import { Weft } from '@weft/client/weft.ts';

import { Chat } from './chat.ts';
import { harmless, openPaint } from './paint.ts';
import { PlainScreen } from './screen.ts';

interface Person {
  readonly weft: Weft;
  readonly chat: Chat;
  /** Everything on the screen. */
  readonly lines: () => string[];
  readonly type: (line: string) => void;
  close(): Promise<void>;
}

async function sitDown(cell: FakeCell, clock: ManualClock, handle: string, by: 'signUp' | 'logIn' = 'signUp'): Promise<Person> {
  const ports = { clock, http: cell.http, socket: cell.socket, verify: fakeVerify };
  const weft = await Weft[by]({ router: 'http://router', handle, password: 'correct horse', device: `${handle} ${by}`, ports });
  await clock.advance(10);
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = '';
  output.on('data', (data: Buffer) => {
    shown += data.toString();
  });
  let chat: Chat | undefined;
  const screen = new PlainScreen({ input, output, events: { typed: (line) => chat?.typed(line), ended: () => undefined } });
  chat = new Chat({ weft, screen, paint: openPaint(false), quit: () => undefined });
  return {
    weft,
    chat,
    lines: () => shown.split('\n').filter((line) => line !== ''),
    type: (line) => input.write(`${line}\n`),
    close: async () => {
      chat.close();
      screen.close();
      await weft.close();
    },
  };
}

async function anaAndBo() {
  const clock = new ManualClock();
  const cell = new FakeCell(clock);
  const ana = await sitDown(cell, clock, 'ana');
  const bo = await sitDown(cell, clock, 'bo');
  const close = async (): Promise<void> => {
    await ana.close();
    await bo.close();
  };
  return { clock, cell, ana, bo, close };
}

/** Lets time run until the line is there. */
async function sees({ lines }: Person, clock: ManualClock, line: string | RegExp): Promise<void> {
  const isThere = (): boolean => lines().some((each) => (typeof line === 'string' ? each === line : line.test(each)));
  for (let i = 0; i < 500 && !isThere(); i++) await clock.advance(20);
  assert.ok(isThere(), `"${line}" is not among:\n${lines().join('\n')}`);
}

describe('the terminal', () => {
  it('lets two people talk, and opens the conversation of whoever is written to', async () => {
    const { clock, ana, bo, close } = await anaAndBo();
    ana.type('/open bo');
    ana.type('hello bo');
    await sees(ana, clock, 'ana> hello bo');
    await sees(bo, clock, 'ana> hello bo');
    bo.type('hi ana');
    await sees(bo, clock, 'bo> hi ana');
    await sees(ana, clock, 'bo> hi ana');
    assert.equal(bo.lines().filter((line) => line === 'ana> hello bo').length, 1);
    await close();
  });

  it('says what the connection does, and sends what was written meanwhile', async () => {
    const { clock, cell, ana, bo, close } = await anaAndBo();
    ana.type('/open bo');
    await sees(ana, clock, '-- ana eu-1/a live');
    cell.up = false;
    cell.cut();
    await sees(ana, clock, '-- ana eu-1/a waiting: the connection was cut');
    ana.type('in the dark');
    await clock.advance(2_000);
    cell.up = true;
    await sees(ana, clock, 'ana> in the dark');
    await sees(bo, clock, 'ana> in the dark');
    await close();
  });

  it('shows refusals and pending entries', async () => {
    const { clock, cell, ana, close } = await anaAndBo();
    ana.type('/open bo');
    await clock.advance(500);
    cell.answer = () => 'pending';
    ana.type('one');
    await sees(ana, clock, '-- pending: one');
    cell.answer = () => ({ code: 'not_a_member', text: '', retry: 'RETRY_NEVER', afterMs: 0 });
    ana.type('two');
    await sees(ana, clock, '! refused: two (the user is not a member of the log)');
    await close();
  });

  it('makes groups, lists conversations and tells what it does not know', async () => {
    const { clock, ana, bo, close } = await anaAndBo();
    ana.type('/group lunch bo');
    await sees(ana, clock, '— lunch —');
    ana.type('noon?');
    await sees(bo, clock, 'ana> noon?');
    ana.type('/list');
    await sees(ana, clock, '#2 lunch 2 entries, 0 unread');
    ana.type('/where 1');
    await sees(ana, clock, /^npm run where -- \d+:2 {2}ana> noon\?$/);
    ana.type('/open nobody');
    await sees(ana, clock, '! there is no such user');
    ana.type('/dance');
    await sees(ana, clock, '! /dance is not a command; /help lists them');
    await close();
  });

  it('tells what was edited and deleted, and by whom', async () => {
    const { clock, cell, ana, bo, close } = await anaAndBo();
    const [anasId, log] = [cell.user('ana'), cell.direct(cell.user('ana'), cell.user('bo'))];
    ana.type('/open bo');
    bo.type('/open ana');
    ana.type('noon');
    ana.type('or never');
    await sees(bo, clock, 'ana> or never');
    cell.add(log, anasId, { $case: 'edited', value: { seq: 2n, text: 'one\u001b[2J' } });
    cell.add(log, anasId, { $case: 'deleted', value: { seq: 3n } });
    for (const person of [ana, bo]) {
      await sees(person, clock, '· ana changed words of before to: one\u{fffd}[2J');
      await sees(person, clock, '· ana took words of before back');
    }
    await close();
  });

  it('tells of words that are gone from the history by now', async () => {
    const { clock, cell, ana, bo, close } = await anaAndBo();
    ana.type('/open bo');
    ana.type('noon');
    await sees(ana, clock, 'ana> noon');
    // As the cell keeps it: the place, without the words.
    cell.reads = ({ entries }) =>
      entries.map((entry) => (entry.body?.$case === 'text' ? { ...entry, flags: 2, body: { $case: 'text', value: '' } } : entry));
    const laptop = await sitDown(cell, clock, 'bo', 'logIn');
    laptop.type('/open ana');
    await sees(laptop, clock, '· ana took these words back, or changed them');
    assert.equal(laptop.lines().includes('ana> noon'), false);
    await sees(bo, clock, 'ana> noon');
    await laptop.close();
    await close();
  });

  it('says which words are not those that were written, and who has them wrong', async () => {
    const { clock, cell, ana, bo, close } = await anaAndBo();
    ana.type('/open bo');
    ana.type('noon');
    await sees(bo, clock, 'ana> noon');
    cell.reads = ({ entries }) =>
      entries.map((entry) => (entry.body?.$case === 'text' ? { ...entry, body: { $case: 'text', value: 'midnight' } } : entry));
    const laptop = await sitDown(cell, clock, 'bo', 'logIn');
    laptop.type('/open ana');
    await sees(laptop, clock, 'ana> midnight');
    await clock.advance(5_000);
    cell.beat();
    await sees(
      laptop,
      clock,
      '! with ana, entries 1 to 2 are not what was written: your cell has them wrong, the cell that keeps the order signed others',
    );
    await laptop.close();
    await close();
  });

  it('tells when another cell keeps the order, and what that took back', async () => {
    const { clock, cell, ana, bo, close } = await anaAndBo();
    const log = cell.direct(cell.user('ana'), cell.user('bo'));
    ana.type('/open bo');
    bo.type('/open ana');
    ana.type('noon');
    await sees(bo, clock, 'ana> noon');
    ana.type('or never');
    await sees(bo, clock, 'ana> or never');
    for (const body of [
      { $case: 'handover' as const, value: { epoch: 2n, decided: [] } },
      { $case: 'takeover' as const, value: { after: 1n } },
    ]) {
      const told = (): number => bo.lines().filter((line) => line === '· another cell keeps the order here now').length;
      const before = told();
      cell.add(log, 0n, body);
      for (let i = 0; i < 500 && told() === before; i++) await clock.advance(20);
      assert.equal(told(), before + 1, body.$case);
    }
    cell.push('bo', { $case: 'truncated', value: { log, epoch: 2n, base: 2n, after: 1n } });
    await sees(bo, clock, '! what came after entry 2 was taken back');
    const given = cell.logs.get(log)?.entries[2];
    assert.ok(given);
    cell.push('ana', { $case: 'truncated', value: { log, epoch: 2n, base: 2n, after: 1n } });
    const { clientEntryId } = given;
    cell.push('ana', { $case: 'refused', value: { log, clientEntryId, code: 'not_a_member', text: 'no member', peer: 0n } });
    await sees(ana, clock, '! taken back for good: or never (the user is not a member of the log: no member)');
    await close();
  });

  it('shows what others wrote without obeying it', () => {
    assert.equal(harmless('a\u001b[2Jb\u0007'), 'a\u{fffd}[2Jb\u{fffd}');
  });
});
