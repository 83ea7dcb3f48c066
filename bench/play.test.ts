import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FabricFile } from '@weft/local/fabric-file.ts';
import { Troupe } from './actors.ts';
import { castTalks } from './cast.ts';
import { FakeCell, type Mischief } from './fake-cell.ts';
import { Latency } from './latency.ts';
import { type Played, play, type Score } from './play.ts';
import { readBack, type Verdict } from './read-back.ts';

const cells = ['eu-1', 'us-1'];
const talk = (id: string, text: string) => ({
  id,
  lines: text.split(' ').map((line, at) => ({ sender: at % 3 === 0 ? 'ana' : 'bo', text: line })),
});
const long = Array.from({ length: 450 }, (_, at) => `line-${at}`).join(' ');
const unanswered = {
  id: '3',
  lines: [
    { sender: 'cy', text: 'anybody?' },
    { sender: 'cy', text: '' },
  ],
};
const talks = [talk('1', 'one two three four five six'), talk('2', 'seven eight nine'), unanswered, talk('4', long)];

async function replay(mischief: Mischief = {}): Promise<{ score: Score; verdict: Verdict }> {
  await using cell = await FakeCell.start(mischief);
  const url = cell.url.replace('ws:', 'http:').replace('/v1/socket', '');
  const cast = castTalks(talks, cells);
  const fabric = {
    regions: [{ name: 'eu', router: url }],
    cells: cells.map((name) => ({ name, region: 'eu', urls: [url] })),
  } as unknown as FabricFile;
  await using troupe = await Troupe.gather(cast.people, fabric, () => undefined);
  const score: Score = { shown: new Latency(), carried: new Latency(), links: new Map(), talking: new Map(), messages: 0, twice: 0 };
  const played: Played[] = [];
  for (const thread of cast.threads) played.push(await play(thread, troupe, score));
  return { score, verdict: await readBack(played, troupe, () => undefined) };
}

test('talks are played in their order and read back whole from both sides', { timeout: 30_000 }, async () => {
  const { score, verdict } = await replay();
  assert.equal(score.messages, 461);
  assert.equal(score.shown.table().count, 461);
  assert.equal(score.carried.table().count, 461);
  assert(score.carried.table().max <= score.shown.table().max);
  const onLinks = [...score.links.values()].reduce((sum, n) => sum + n, 0);
  assert.equal(onLinks, 461);
  assert.deepEqual({ ...verdict }, { missing: 0, doubled: 0, reordered: 0, read: 4, differences: [] });
});

for (const [what, wanted] of [
  ['lost', [2, 0, 0]],
  ['doubled', [0, 2, 0]],
  ['swapped', [0, 0, 4]],
] as const) {
  test(`a message that is ${what} in the cell’s history is found on both sides`, { timeout: 30_000 }, async () => {
    const { verdict } = await replay({ history: { what, seq: 5 } });
    assert.deepEqual([verdict.missing, verdict.doubled, verdict.reordered], wanted);
    assert.equal(verdict.differences.length, 2);
    assert.match(verdict.differences[0] ?? '', /message [456]: wrote/);
  });
}
