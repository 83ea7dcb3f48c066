import assert from 'node:assert/strict';
import { test } from 'node:test';
import { castTalks, isSilent, monologuesOf, turnsOf } from './cast.ts';
import type { Talk } from './data-set.ts';

const cells = ['eu-1', 'eu-2', 'us-1', 'us-2'];
const talk = (id: string, ...lines: readonly [string, string][]): Talk => ({
  id,
  lines: lines.map(([sender, text]) => ({ sender, text })),
});

test('people who meet again go on in one conversation, whoever writes first', () => {
  const { threads, people } = castTalks([talk('1', ['ana', 'hi'], ['bo', 'hello']), talk('2', ['bo', 'again?'], ['ana', 'yes'])], cells);
  assert.equal(people.length, 2);
  assert.equal(threads.length, 1);
  assert.equal(threads[0]?.talks, 2);
  assert.deepEqual(
    threads[0]?.lines.map(({ text }) => text),
    ['hi', 'hello', 'again?', 'yes'],
  );
});

test('a person has the same home however the talks are ordered', () => {
  const talks = [talk('1', ['ana', 'hi'], ['bo', 'hello']), talk('2', ['cy', 'hi'], ['ana', 'hello'])];
  const homes = (of: readonly Talk[]): string[] =>
    castTalks(of, cells)
      .people.map(({ name, cell }) => `${name} ${cell}`)
      .sort();
  assert.deepEqual(homes(talks), homes(talks.toReversed()));
});

test('a talk that nobody answered gets a silent listener', () => {
  const { threads, unanswered } = castTalks([talk('1', ['ana', 'anybody?'])], cells);
  assert.equal(unanswered, 1);
  assert.deepEqual(threads[0]?.people.map(isSilent), [false, true]);
});

test('lines of one person in a row are one turn', () => {
  const turns = turnsOf(talk('1', ['ana', 'a'], ['ana', 'b'], ['bo', 'c'], ['ana', 'd']).lines);
  assert.deepEqual(
    turns.map((turn) => turn.map(({ text }) => text)),
    [['a', 'b'], ['c'], ['d']],
  );
});

test('monologues are counted in as many turns as the whole data set has', () => {
  const lines = (turns: number, length: number) =>
    Array.from({ length: turns * length }, (_, at) => ({ sender: Math.floor(at / length) % 2 === 0 ? 'ana' : 'bo', text: 'x' }));
  const threads = [lines(300_000, 1), lines(2, 40)].map((each) => ({ people: [], lines: each }) as never);
  assert.deepEqual(monologuesOf({ threads }, 32), { turns: 2, messages: 80, longest: 40 });
});
