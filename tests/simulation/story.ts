// The story of one run as a timeline that people read: who sent, where it waited, which fault hit it, what the checker saw.
import { describeFault } from './fault.ts';
import type { TraceLine } from './trace.ts';
import type { Verdict, World } from './world.ts';

/** Long ids get short names, in the order they are met: logs L1, messages m1, users by their devices. */
class Names {
  readonly #known = new Map<string, string>();
  readonly #counts = { L: 0, m: 0 };

  constructor(world: World) {
    for (const person of world.people) {
      const [device] = person.options.name.split('/').slice(2);
      if (device === undefined) this.#known.set(String(person.user), `self(${person.options.name})`);
    }
  }

  of(kind: 'L' | 'm', id: string): string {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    this.#counts[kind] += 1;
    const name = `${kind}${this.#counts[kind]}`;
    this.#known.set(id, name);
    return name;
  }
}

const place = /(\d{6,})\/(\d+)/g;
const assigned = /(\d{6,})\/(\d+)=(\d+)/g;

const phrases: readonly (readonly [RegExp, (names: Names, m: RegExpExecArray) => string])[] = [
  [/^fault (\S+) cell (\d+) node (\d+) person (\d+) (\S+)$/, (_, m) => `⚡ ${m[1]} (cell ${m[2]}, node ${m[3]}, person ${m[4]})`],
  [/^kill (\S+)$/, (_, m) => `✝ node ${m[1]} is killed`],
  [/^start (\S+)$/, (_, m) => `▶ node ${m[1]} starts`],
  [/^failpoint (\S+) (\S+)$/, (_, m) => `✝ node ${m[1]} dies at ${m[2]}`],
  [/^healed$/, () => '✚ everything is healed'],
  [/^(\S+) sent (\d+)$/, (n, m) => `  ${m[1]} sends ${n.of('m', m[2] as string)}`],
  [/^(\S+) pending (\d+)$/, (n, m) => `    ${m[1]} is told: ${n.of('m', m[2] as string)} is stored at home, the owner will decide`],
  [/^(\S+) refused (\d+)$/, (n, m) => `    ${m[1]} is told: ${n.of('m', m[2] as string)} is refused`],
  [
    /^(\S+) accepted (\d+)\/(\d+) (\d+)$/,
    (n, m) => `    ${m[1]} is told: ${n.of('m', m[4] as string)} is ${n.of('L', m[2] as string)}/${m[3]}`,
  ],
  [/^(\S+) shown (\d+)\/(\d+)$/, (n, m) => `      ${m[1]} shows ${n.of('L', m[2] as string)}/${m[3]}`],
  [/^(\S+) (follows|left|fetched) (\d+)$/, (n, m) => `      ${m[1]} ${m[2] === 'fetched' ? 'reads' : m[2]} ${n.of('L', m[3] as string)}`],
  [
    /^commit (\d+)\.(\d+)\.(\d+) ?(.*)$/,
    (n, m) => `  cell ${m[1]} commits ${namedIn(n, m[4] as string) || 'nothing new'} (node ${m[2]}, lane ${m[3]})`,
  ],
  [
    /^(stored|duplicate|refused|no-responders) (\S+) (\S+) (\w) (\S+)$/,
    (_, m) => `  broker of ${m[3]}: frame ${m[4]} ${m[5]} of ${m[2]} ${m[1]}`,
  ],
];

function namedIn(names: Names, text: string): string {
  const stored = text.replace(assigned, (_, log, seq, id) => `${names.of('L', log)}/${seq} (${names.of('m', id)})`);
  return stored.replace(/intake (\d+)=(\d+)/g, (_, n, id) => `intake ${n} (${names.of('m', id)})`);
}

function phrase(names: Names, text: string): string {
  for (const [pattern, say] of phrases) {
    const found = pattern.exec(text);
    if (found) return say(names, found);
  }
  return `  ${text.replace(place, (_, log, seq) => `${names.of('L', log)}/${seq}`)}`;
}

export function storyOf(world: World, verdict: Verdict, lines: readonly TraceLine[] = world.trace.lines): string[] {
  const names = new Names(world);
  const { shape } = world;
  const told = lines.map(({ atMs, text }) => `${(atMs / 1_000).toFixed(3).padStart(9)} s ${phrase(names, text)}`);
  const ids = (text: string): string => text.replace(/\b\d{12,}\b/g, (id) => names.of('L', id));
  return [
    `seed ${verdict.seed}: ${shape.cells} cells of ${shape.nodes} nodes, ${world.people.length} devices, ${shape.chaosMs / 1_000} s of faults:`,
    ...verdict.faults.map((fault) => `  ${describeFault(fault)}`),
    '',
    ...told,
    '',
    ...(verdict.wrong.length === 0 ? ['the checker found nothing wrong'] : ['the checker saw:', ...verdict.wrong.map(ids)]),
    `trace ${verdict.hash}`,
  ];
}
