import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clip, linkSummary, linkTable, Screen } from './screen.ts';

class Paper {
  readonly isTTY: boolean;
  columns = 40;
  rows = 10;
  text = '';
  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }
  write(text: string): void {
    this.text += text;
  }
  on(): void {}
  off(): void {}
}

const esc = String.fromCharCode(27);
const link = { from: 'eu-1', to: 'us-1', shown: 3, backlog: 1, oldestMs: 900, p50: 2.04, p99: 250 };

test('off a terminal a screen writes its lines and no esc code', () => {
  const paper = new Paper(false);
  using screen = new Screen(paper, false);
  screen.show(['live']);
  screen.line('one');
  assert.equal(paper.text, 'one\n');
});

test('a terminal that asks for plain output gets no esc code', () => {
  const paper = new Paper(true);
  using screen = new Screen(paper, true);
  screen.show(['live']);
  screen.line('one');
  assert.equal(paper.text, 'one\n');
});

test('a new line goes above the live part, which is drawn again in the same write', () => {
  const paper = new Paper(true);
  using screen = new Screen(paper, false);
  screen.show(['a', 'b']);
  paper.text = '';
  screen.line('event');
  assert.equal(paper.text, `${esc}[2A\revent${esc}[K\na${esc}[K\nb${esc}[K\n${esc}[J`);
});

test('no drawn line is as wide as the terminal, and no live part as high', () => {
  const paper = new Paper(true);
  using screen = new Screen(paper, false);
  screen.show(Array.from({ length: 30 }, () => 'x'.repeat(100)));
  const lines = paper.text.split('\n').map((line) => line.replaceAll(new RegExp(`${esc}\\[\\d*[AJK]|\\r`, 'g'), ''));
  assert.equal(lines.length - 1, paper.rows - 1);
  assert.ok(lines.every((line) => line.length < paper.columns));
});

test('the link table stands in two halves where there is room', () => {
  const links = Array.from({ length: 12 }, () => link);
  assert.equal(linkTable(links, 60).length, 13);
  assert.equal(linkTable(links, 140).length, 7);
});

test('the summary names the slowest link', () => {
  assert.equal(
    linkSummary([link, { ...link, to: 'eu-2', shown: 0, p50: undefined, p99: undefined }]),
    'links: 1 of 2 up, 3 messages, slowest p99 250 ms (eu-1 → us-1), backlog 2',
  );
  assert.equal(clip('abcdef', 4), 'ab…');
});

test('a link whose messages are on their way for long waits, and says for how long', () => {
  const waiting = { ...link, to: 'us-2', backlog: 9, oldestMs: 8_600 };
  assert.equal(
    linkSummary([link, waiting]),
    'links: 1 of 2 up, 1 wait, the longest for 9 s (eu-1 → us-2), 6 messages, slowest p99 250 ms (eu-1 → us-1), backlog 10',
  );
  const [, up, down] = linkTable([link, waiting], 60);
  assert.match(up ?? '', /250 {2,}1$/);
  assert.match(down ?? '', / 9 for 9 s$/);
});

/** What a terminal shows after these bytes; knows only what a screen uses. */
function shown(bytes: string): string[] {
  const rows: string[] = [];
  let row = 0;
  let column = 0;
  for (const [code] of bytes.matchAll(new RegExp(`${esc}\\[\\d*[AJK]|[\\s\\S]`, 'g'))) {
    const text = rows[row] ?? '';
    if (code === '\n') [row, column] = [row + 1, 0];
    else if (code === '\r') column = 0;
    else if (code === `${esc}[K`) rows[row] = text.slice(0, column);
    else if (code === `${esc}[J`) rows.splice(row, rows.length, text.slice(0, column));
    else if (code.startsWith(esc)) row -= Number(code.slice(2, -1));
    else rows[row] = text.slice(0, column) + code + text.slice(++column);
  }
  return rows;
}

test('lines pile up above a live part that is there once', () => {
  const paper = new Paper(true);
  using screen = new Screen(paper, false);
  screen.line('one');
  screen.show(['a', 'b']);
  screen.line('two');
  screen.show(['c', 'd', 'e']);
  screen.show(['f']);
  screen.line('three');
  assert.deepEqual(shown(paper.text), ['one', 'two', 'three', 'f', '']);
});
