import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare } from './comparison.ts';
import type { Line } from './data-set.ts';

const lines = (texts: string): Line[] => [...texts].map((text) => ({ sender: text === text.toLowerCase() ? 'ana' : 'bo', text }));
const verdict = (wanted: string, found: string): string => {
  const { missing, doubled, reordered } = compare(lines(wanted), lines(found));
  return `${missing} ${doubled} ${reordered}`;
};

test('equal conversations have nothing missing, doubled or reordered', () => {
  assert.equal(verdict('aBBac', 'aBBac'), '0 0 0');
  assert.equal(verdict('', ''), '0 0 0');
});

test('a lost message is missing and nothing else', () => assert.equal(verdict('aBcD', 'acD'), '1 0 0'));
test('a message that is there twice is doubled and nothing else', () => assert.equal(verdict('aBcD', 'aBBcD'), '0 1 0'));
test('two messages that changed places are reordered', () => assert.equal(verdict('aBcD', 'acBD'), '0 0 2'));
test('a changed text is missing, and the other one is not wanted', () => assert.equal(verdict('aBcD', 'aXcD'), '1 1 0'));
test('a lost message among reordered ones is told apart', () => assert.equal(verdict('abcDe', 'cabe'), '1 0 2'));
test('a text by the wrong person is not the text', () => {
  const { missing, doubled } = compare([{ sender: 'ana', text: 'x' }], [{ sender: 'bo', text: 'x' }]);
  assert.deepEqual([missing, doubled], [1, 1]);
});

test('the first difference is told with its place', () => {
  const { first } = compare(lines('aBc'), lines('aXc'));
  assert.deepEqual(first, { at: 1, wanted: { sender: 'bo', text: 'B' }, found: { sender: 'bo', text: 'X' } });
});
