import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from './faults.ts';
import { handleLimits, normaliseHandle, skeleton } from './handle.ts';

const refused = (text: string): boolean => {
  try {
    normaliseHandle(text);
    return false;
  } catch (error) {
    if (error instanceof WeftError && error.code === 'handle_invalid') return true;
    throw error;
  }
};

test('a handle has one spelling, whatever its case, width or composition', () => {
  for (const [typed, handle] of [
    ['Ana', 'ana'],
    ['ａｎａ', 'ana'],
    ['𝓪𝓷𝓪', 'ana'],
    ['STRASSE', 'strasse'],
    ['Straße', 'strasse'],
    ['ΟΔΥΣΣΕΥΣ', 'οδυσσευσ'],
    ['οδυσσευς', 'οδυσσευσ'],
    ['e\u0301cole', 'école'],
    ['ﾊﾝｸﾙ', 'ハンクル'],
    ['bo', 'bo'],
    ['user-123', 'user-123'],
    ['a.b_c-d', 'a.b_c-d'],
  ] as const)
    assert.equal(normaliseHandle(typed), handle);
});

test('names of the world are handles', () => {
  for (const name of ['モリー太郎', '김철수', '李明', 'नमस्ते', 'สมชาย', 'محمد', 'שלום', 'борис', 'ελένη', 'հայկ', 'ልዑል', 'தமிழ்'])
    assert.equal(refused(name), false, name);
});

test('what is invisible, mixed, ornamental, too long or starts with punctuation is refused', () => {
  for (const text of [
    '',
    'a',
    'a'.repeat(33),
    'ﷺ'.repeat(2),
    'ab\u200dc',
    'ab\u202ecd',
    'a\u2066b',
    'ab\u00adc',
    'аna',
    'paypаl',
    'αbc',
    'ᅠᅠᅠ',
    'ab٥',
    'e\u0301\u0301\u0301cole',
    'q\u0323x',
    '_ab',
    'ab_',
    '.ab',
    'a..b',
    'a b',
    'a@b',
    'a/b',
    'a\u0000b',
    '💜💜',
    '\ud800ab',
    'ᄀᄀ',
    'a'.repeat(5_000),
  ])
    assert.equal(refused(text), true, JSON.stringify(text));
});

test('handles that look alike have one skeleton, others do not', () => {
  for (const [one, other] of [
    ['paypal', 'paypa1'],
    ['bob', 'b0b'],
    ['mike', 'rnike'],
    ['раураӏ', 'paypal'],
    ['οοο', 'ooo'],
    ['ѕсоре', 'scope'],
  ] as const) {
    assert.equal(skeleton(normaliseHandle(one)), skeleton(normaliseHandle(other)), `${one} ${other}`);
  }
  for (const [one, other] of [
    ['ana', 'anna'],
    ['a-b', 'a_b'],
    ['bo', 'bob'],
    ['école', 'ecole'],
  ] as const)
    assert.notEqual(skeleton(one), skeleton(other));
});

test('normalising is idempotent, and so is the skeleton', () => {
  const letters = fc.stringMatching(/^[\p{L}\p{M}0-9._-]{1,12}$/u);
  fc.assert(
    fc.property(fc.oneof(letters, fc.string({ unit: 'binary', maxLength: 40 })), (text) => {
      if (refused(text)) return;
      const handle = normaliseHandle(text);
      assert.equal(normaliseHandle(handle), handle);
      assert.ok([...handle].length <= handleLimits.charsMax);
      assert.equal(skeleton(skeleton(handle)), skeleton(handle));
    }),
    { numRuns: 3_000 },
  );
});

test('each single character that may stand in a handle has a stable spelling and skeleton', () => {
  for (let code = 0x21; code < 0x3_0000; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    if (code >= 0xac00 && code <= 0xd7a3 && code % 28 !== 0) continue;
    const text = String.fromCodePoint(code).repeat(2);
    if (refused(text)) continue;
    const handle = normaliseHandle(text);
    assert.equal(normaliseHandle(handle), handle, code.toString(16));
    assert.equal(skeleton(skeleton(handle)), skeleton(handle), code.toString(16));
  }
});
