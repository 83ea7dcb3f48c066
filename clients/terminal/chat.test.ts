import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';

import { FakeCell } from '@weft/client/fake-cell.ts';
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

async function sitDown(cell: FakeCell, clock: ManualClock, handle: string): Promise<Person> {
  const ports = { clock, http: cell.http, socket: cell.socket };
  const weft = await Weft.signUp({ router: 'http://router', handle, password: 'correct horse', device: handle, ports });
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

  it('shows what others wrote without obeying it', () => {
    assert.equal(harmless('a\u001b[2Jb\u0007'), 'a\u{fffd}[2Jb\u{fffd}');
  });
});
