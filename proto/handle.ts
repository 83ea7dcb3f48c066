// Handles: one spelling for each, and a skeleton that is the same for all that look alike.

import { confusables } from './confusables.ts';
import { WeftError } from './faults.ts';

export const handleLimits = {
  /** Code points after normalisation; two, since many names have no more ("bo", "李明"). */
  charsMin: 2,
  charsMax: 32,
  /** UTF-16 units of what is normalised at all: the longest compatibility expansion is 18 to 1. */
  inputUnitsMax: 128,
} as const;

/** Scripts of UAX #31, table 5 (recommended), and which of them may share a handle (UTS #39, 5.2, highly restrictive). */
const scripts = [
  'Latin',
  'Cyrillic',
  'Greek',
  'Arabic',
  'Armenian',
  'Bengali',
  'Devanagari',
  'Ethiopic',
  'Georgian',
  'Gujarati',
  'Gurmukhi',
  'Hebrew',
  'Kannada',
  'Khmer',
  'Lao',
  'Malayalam',
  'Myanmar',
  'Oriya',
  'Sinhala',
  'Tamil',
  'Telugu',
  'Thaana',
  'Thai',
  'Tibetan',
] as const;
const mixes: readonly (readonly string[])[] = [
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Bopomofo'],
  ['Latin', 'Han', 'Hangul'],
];
/** Scripts whose vowels are marks of their own; every other mark is ornament and is refused. */
const markScripts = [
  'Bengali',
  'Devanagari',
  'Gujarati',
  'Gurmukhi',
  'Kannada',
  'Khmer',
  'Lao',
  'Malayalam',
  'Myanmar',
  'Oriya',
  'Sinhala',
  'Tamil',
  'Telugu',
  'Thaana',
  'Thai',
  'Tibetan',
];

const oneScript = (allowed: readonly string[]): RegExp => {
  const letters = allowed.map((name) => `\\p{scx=${name}}`).join('');
  const marks = allowed
    .filter((name) => markScripts.includes(name))
    .map((name) => `\\p{scx=${name}}`)
    .join('');
  const mark = marks === '' ? '' : `|(?:(?=\\p{M})[${marks}])`;
  return new RegExp(`^(?:(?=\\p{L})[${letters}]${mark}|[0-9._-])+$`, 'u');
};
const spellings = [...scripts.map((name) => oneScript([name])), ...mixes.map(oneScript)];

/** Letters or digits at both ends, one punctuation mark at a time, no more than three marks on a letter, nothing invisible. */
const shape = /^[\p{L}0-9](?:[\p{L}\p{M}0-9]|[._-](?=[\p{L}0-9]))*$/u;
const heaped = /\p{M}{4}|[0-9._-]\p{M}/u;
const invisible = /\p{Default_Ignorable_Code_Point}/u;
/** Conjoining jamo that made no syllable: each font draws them elsewhere. */
const looseJamo = /[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]/u;

/**
 * The one spelling of a handle: NFKC and case folding (ß is ss, final sigma is sigma), 2 to 32 code points of letters, ASCII digits and
 * single `.` `_` `-` between them, in one script (or Latin with the scripts of Japanese, Chinese or Korean).
 * Applying it again changes nothing. Throws WeftError `handle_invalid`.
 */
export function normaliseHandle(text: string): string {
  if (text.length > handleLimits.inputUnitsMax) throw new WeftError('handle_invalid', 'too long');
  if (!text.isWellFormed()) throw new WeftError('handle_invalid', 'not well-formed Unicode');
  const handle = fold(text);
  const chars = [...handle].length;
  if (chars < handleLimits.charsMin || chars > handleLimits.charsMax)
    throw new WeftError('handle_invalid', `${handleLimits.charsMin} to ${handleLimits.charsMax} characters`);
  if (!shape.test(handle) || heaped.test(handle) || invisible.test(handle) || looseJamo.test(handle))
    throw new WeftError('handle_invalid', 'letters, digits and single . _ - between them');
  if (!spellings.some((spelling) => spelling.test(handle))) throw new WeftError('handle_invalid', 'letters of one script');
  return handle;
}

/**
 * What a normalised handle looks like (UTS #39, section 4). Two handles with equal skeletons look alike, so only one of them may exist.
 * Stronger than the standard in one point: prototypes are folded to lower case, as handles are, so that 0 and o meet.
 */
export function skeleton(handle: string): string {
  let seen = '';
  for (const char of handle.normalize('NFD')) seen += confusables.get(char) ?? char;
  return seen.normalize('NFD');
}

/** JavaScript has no case folding: upper and then lower case is it, but for the final sigma. Twice, since NFKC may uncover what folds. */
function fold(text: string): string {
  const once = (value: string): string => value.normalize('NFKC').toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC');
  return once(once(text));
}
