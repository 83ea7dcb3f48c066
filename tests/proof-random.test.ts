// A home cell that lies once, or always, about one entry, on a push or on a page, while somebody listens or reads back over the log
// in pages of any size: whatever was shown otherwise than it was written is reported.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOf } from '@weft/client/fake-log.ts';
import { nodeSha256 } from '@weft/client/sha256-node.ts';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { ProofScene, provedFrom } from './proof-scene.ts';

const scenarios = 400;
const lied = 'words that nobody said';

const textOf = (entry: Entry): string => (entry.body?.$case === 'text' ? entry.body.value : '');
const withText = (entry: Entry, value: string): Entry => ({ ...entry, body: { $case: 'text', value } });
const unproved = ({ prev: _, ...entry }: Entry): Entry => entry;

/** What becomes of a page in which the entry at this index is met. */
const lies: Readonly<Record<string, (page: readonly Entry[], at: number) => readonly Entry[]>> = {
  words: (page, at) => page.with(at, withText(page[at] as Entry, lied)),
  'words, proved anew': (page, at) => provedFrom(page.with(at, withText(page[at] as Entry, lied)), at),
  'words, no hashes': (page, at) => page.with(at, withText(page[at] as Entry, lied)).map(unproved),
  'words under the hash of the right ones': (page, at) => {
    const entry = page[at] as Entry;
    return page.with(at, { ...withText(entry, lied), bodyHash: nodeSha256(Buffer.from(textOf(entry))) });
  },
  'no words': (page, at) => page.with(at, { ...withText(page[at] as Entry, ''), flags: 2 }),
  author: (page, at) => provedFrom(page.with(at, { ...(page[at] as Entry), author: 77n }), at),
  time: (page, at) => provedFrom(page.with(at, { ...(page[at] as Entry), ts: (page[at] as Entry).ts + 1n }), at),
  id: (page, at) => page.with(at, { ...(page[at] as Entry), clientEntryId: 78n }),
  'left out': (page, at) => page.toSpliced(at, 1),
  'left out, the rest moved': (page, at) => {
    const moved = page.toSpliced(at, 1).map((entry, i) => (i < at ? entry : { ...entry, seq: entry.seq - 1n }));
    const [next, gone] = [moved[at], page[at] as Entry];
    return next === undefined ? moved : provedFrom(moved.with(at, { ...next, prev: gone.prev }), at);
  },
  'changed places': (page, at) => {
    const [a, b] = [page[at], page[at + 1]];
    if (a === undefined || b === undefined) return page.with(at, withText(page[at] as Entry, lied));
    return provedFrom(page.toSpliced(at, 2, { ...b, seq: a.seq, ord: a.ord }, { ...a, seq: b.seq, ord: b.ord }), at);
  },
};

interface Told {
  /** Somebody was shown what was not written, or not shown what was. */
  readonly isLiedTo: boolean;
  readonly about: string;
  readonly isReported: boolean;
}

/** Whether anything is told within 15 s, with a word of the owner and a heartbeat now and then. The scene is over. */
async function reports(scene: ProofScene): Promise<boolean> {
  for (let waited = 0; waited < 15_000 && scene.reports.length === 0; waited += 2_500) {
    await scene.clock.advance(2_500);
    scene.beat();
  }
  await scene.close();
  return scene.reports.length > 0;
}

/** One lie on a page, in a scene drawn from the seed. `honest`: none. */
async function readBack(seed: number, honest: boolean): Promise<Told> {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)] as T;
  const scene = await ProofScene.open();
  const size = pick([3, 10, 40, 150, 240, 700]) + random.int(20);
  while (scene.log.entries.length < size) {
    scene.say(`number ${scene.log.entries.length + 1}`);
    if (scene.log.entries.length % 50 === 0) await scene.clock.advance(5);
  }
  await scene.clock.advance(5);
  if (random.next() < 0.7) scene.beat();
  await scene.clock.advance(5);
  const isNew = random.next() < 0.5;
  if (isNew) await scene.changeDevice();
  const met = 1 + random.int(size);
  const [lie, how] = pick(Object.entries(lies));
  const isOnce = random.next() < 0.5;
  let times = 0;
  scene.cell.pages = (page) => {
    const at = page.findIndex(({ seq }) => seq === BigInt(met));
    if (honest || at < 0 || (isOnce && times > 0)) return [...page];
    times += 1;
    return [...how(page, at)];
  };
  const limit = pick([5, 20, 50, 200]);
  const shown = new Map<number, string>();
  for (let before = size + 1; before > met; ) {
    const page = scene.conversation.history({ before, limit });
    if (random.next() < 0.3) scene.say('meanwhile');
    await scene.clock.advance(5);
    const { entries } = await page;
    for (const { seq, text, author, ts, id } of entries) shown.set(seq, `${text} ${author} ${ts} ${id}`);
    before = Math.min(entries[0]?.seq ?? 0, before - 1);
  }
  const isLiedTo = scene.log.entries.slice(met - 1, size).some((entry) => {
    const { seq, author, ts, clientEntryId } = entry;
    return shown.get(Number(seq)) !== `${textOf(entry)} ${author} ${ts} ${clientEntryId}`;
  });
  const isReported = await reports(scene);
  const device = isNew ? 'a new device' : 'a device that saw it before';
  return {
    isLiedTo,
    isReported,
    about: `seed ${seed}: ${lie} at ${met} of ${size}, ${isOnce ? 'once' : 'always'}, to ${device}, pages of ${limit}`,
  };
}

test(`lies on pages are reported, whoever reads: ${scenarios} draws`, async () => {
  const missed: string[] = [];
  let met = 0;
  for (let seed = 1; seed <= scenarios; seed++) {
    const { isLiedTo, isReported, about } = await readBack(seed, false);
    if (isLiedTo && !isReported) missed.push(about);
    if (isLiedTo) met += 1;
  }
  assert.ok(met > scenarios * 0.8);
  assert.deepEqual(missed, []);
});

test('where nobody lies nothing is reported', async () => {
  const told: string[] = [];
  for (let seed = 1; seed <= scenarios / 4; seed++) {
    const { isReported, about } = await readBack(seed, true);
    if (isReported) told.push(about);
  }
  assert.deepEqual(told, []);
});

/** What becomes of one push. */
const pushLies: Readonly<Record<string, (entry: Entry) => readonly Entry[]>> = {
  words: (entry) => [withText(entry, lied)],
  'words, no hash': (entry) => [unproved(withText(entry, lied))],
  'words under the hash of the right ones': (entry) => [{ ...withText(entry, lied), bodyHash: nodeSha256(Buffer.from(textOf(entry))) }],
  'no words': (entry) => [{ ...withText(entry, ''), flags: 2 }],
  author: (entry) => [{ ...entry, author: 77n }],
  time: (entry) => [{ ...entry, ts: entry.ts + 1n }],
  id: (entry) => [{ ...entry, clientEntryId: 78n }],
  count: (entry) => [{ ...entry, ord: entry.ord + 3n }],
  place: (entry) => [{ ...entry, seq: entry.seq + 1n }],
  epoch: (entry) => [{ ...entry, epoch: entry.epoch + 1n }],
  'hash of the one before': (entry) => [{ ...entry, prev: new Uint8Array(32).fill(9) }],
  'left out': () => [],
  twice: (entry) => [entry, entry],
  'right, then wrong': (entry) => [entry, withText(entry, lied)],
  'wrong, then right': (entry) => [withText(entry, lied), entry],
};

/** One lie on a push, with what follows proved anew over it or not. */
async function hear(seed: number): Promise<Told> {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)] as T;
  const scene = await ProofScene.open();
  for (let n = random.int(30); n > 0; n--) scene.say(`${n} before`);
  await scene.clock.advance(5);
  if (random.next() < 0.5) scene.beat();
  await scene.clock.advance(5);
  const [lie, how] = pick(Object.entries(pushLies));
  const isNew = random.next() < 0.5;
  if (isNew) await scene.changeDevice();
  const isProvedAnew = random.next() < 0.3;
  const isUnproved = !isProvedAnew && random.next() < 0.2;
  const { id, entries } = scene.log;
  const met = BigInt(entries.length + 1);
  let last: Entry | undefined;
  scene.cell.pushes = (entry) => {
    if (entry.log !== id || entry.seq < met) return [entry];
    const told = entry.seq === met ? how(entry) : isProvedAnew && last?.prev !== undefined ? [{ ...entry, prev: hashOf(last) }] : [entry];
    last = told.at(-1);
    return isUnproved ? told.map(unproved) : told;
  };
  const after = random.int(4);
  for (let n = 0; n <= after; n++) {
    scene.say(`${n} after`);
    if (random.next() < 0.5) await scene.clock.advance(20);
  }
  const isReported = await reports(scene);
  const device = isNew ? 'a new device' : 'a device that saw the log before';
  return {
    // Where none has a hash, a wrong one is not told either.
    isLiedTo: !isUnproved || lie !== 'hash of the one before',
    isReported,
    about: `seed ${seed}: ${lie}, ${after} after it${isProvedAnew ? ', proved anew' : isUnproved ? ', all without hashes' : ''}, to ${device}`,
  };
}

test(`lies on pushes are reported: ${scenarios} draws`, async () => {
  const missed: string[] = [];
  for (let seed = 1; seed <= scenarios; seed++) {
    const { isLiedTo, isReported, about } = await hear(seed);
    if (isLiedTo && !isReported) missed.push(about);
  }
  assert.deepEqual(missed, []);
});
