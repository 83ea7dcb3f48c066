import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { accountLimits as limits } from './account-limits.ts';
import { EndedSessions } from './ended-sessions.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';
import { RefreshTokens, saltBytes } from './refresh-tokens.ts';

const secret = randomBytes(32);

test('a token reads back as what it was, on every node with the secret', () => {
  const token = new RefreshTokens(secret).first(7n << 40n);
  assert.deepEqual(new RefreshTokens(secret).read(token.text), token);
  assert.equal(new RefreshTokens(randomBytes(32)).read(token.text), undefined);
  assert.equal(new RefreshTokens(randomBytes(32)).sessionOf(token.text), 7n << 40n);
});

test('the next token follows from the token, the salt and the secret, and from nothing less', () => {
  const tokens = new RefreshTokens(secret);
  const salt = randomBytes(saltBytes);
  const token = tokens.first(1n);
  const next = tokens.next(token, salt);
  assert.equal(next.number, 2);
  assert.deepEqual(new RefreshTokens(secret).next(token, salt), next);
  assert.notEqual(tokens.next(token, randomBytes(saltBytes)).text, next.text);
  assert.notEqual(tokens.next(tokens.first(1n), salt).text, next.text);
  assert.notEqual(new RefreshTokens(randomBytes(32)).next(token, salt).text, next.text);
});

test('a token with any character changed is not one', () => {
  const tokens = new RefreshTokens(secret);
  const { text } = tokens.first(1n);
  for (let i = 0; i < text.length; i++) {
    const other = `${text.slice(0, i)}${text[i] === 'A' ? 'B' : 'A'}${text.slice(i + 1)}`;
    assert.equal(tokens.read(other), undefined, `character ${i}`);
  }
  for (const other of ['', text.slice(1), `${text}=`, text.replace(/.$/, '+')]) assert.equal(tokens.read(other), undefined);
});

test('a wrapped key opens with its secret and its label only', () => {
  const key = randomBytes(32);
  const wrapped = wrapKey(secret, key, 'eu-1 token 1');
  assert.deepEqual(unwrapKey(secret, wrapped, 'eu-1 token 1'), key);
  assert.equal(unwrapKey(secret, wrapped, 'eu-1 token 2'), undefined);
  assert.equal(unwrapKey(randomBytes(32), wrapped, 'eu-1 token 1'), undefined);
  assert.equal(unwrapKey(secret, wrapped.subarray(1), 'eu-1 token 1'), undefined);
  assert.equal(unwrapKey(secret, Buffer.alloc(3), 'eu-1 token 1'), undefined);
});

test('an ended session is told once and remembered as long as its access token may live', () => {
  const ended = new EndedSessions();
  assert.deepEqual(ended.note([1n, 2n, 2n], 0), [1n, 2n]);
  assert.deepEqual(ended.note([2n, 3n], 1), [3n]);
  ended.note([], limits.accessMsMax);
  assert.equal(ended.has(1n), true);
  ended.note([], limits.accessMsMax + limits.sessionPollBackMs + 1);
  assert.deepEqual(
    [1n, 2n, 3n].map((each) => ended.has(each)),
    [false, false, true],
  );
});
