// ANSI colours (ECMA-48, section 8.3.117), or none.

export interface Paint {
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  /** The same name always has the same colour. */
  readonly person: (name: string) => string;
}

const esc = String.fromCharCode(27);
const wrap = (code: string) => (text: string) => `${esc}[${code}m${text}${esc}[0m`;
const plain = (text: string): string => text;
/** Readable on dark and on light. */
const personCodes = ['36', '35', '33', '34', '32', '91', '96', '95'];

export function openPaint(colours: boolean): Paint {
  if (!colours) return { dim: plain, bold: plain, good: plain, bad: plain, person: plain };
  return {
    dim: wrap('2'),
    bold: wrap('1'),
    good: wrap('32'),
    bad: wrap('31'),
    person: (name) => wrap(`1;${personCodes[hash(name) % personCodes.length]}`)(name),
  };
}

function hash(text: string): number {
  let h = 0;
  for (const char of text) h = (Math.imul(h, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return h;
}

const control = new RegExp(
  `[${String.fromCharCode(0)}-${String.fromCharCode(31)}${String.fromCharCode(127)}-${String.fromCharCode(159)}]`,
  'g',
);

/** What others wrote must not move the cursor or recolour the screen. */
export const harmless = (text: string): string => text.replace(control, '\u{fffd}');

/** Columns without esc sequences; wide characters count as one, which is near enough. */
export const visibleWidth = (text: string): number => [...text.replace(new RegExp(`${esc}\\[[0-9;]*m`, 'g'), '')].length;
