// The SDK in a real browser, as its source stands: socket, fetch, IndexedDB and WebCrypto are the browser's own. Needs a Chromium
// (Debian: apt-get install chromium), found in PATH or named by WEFT_CHROMIUM; without one these tests are skipped.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { findChromium, Page } from './browser/chromium.ts';
import { PageServer } from './browser/page-server.ts';
import { startFabric, type TestFabric } from './harness.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const chromium = findChromium();
const skip = chromium === undefined && 'no Chromium in PATH, and WEFT_CHROMIUM is not set';
let fabric: TestFabric;
let server: PageServer;
let page: Page;
let bo: RawClient;

before(async () => {
  if (chromium === undefined) return;
  server = await PageServer.start();
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], env: { '*': { WEFT_ORIGINS: server.origin } } });
  bo = await fabric.client('bo', 'us-1');
  page = await Page.open(chromium, server.origin);
  await loaded();
});

after(async () => {
  await page?.[Symbol.asyncDispose]();
  await fabric?.stop();
  await server?.[Symbol.asyncDispose]();
});

const loaded = (): Promise<void> => until('the SDK is loaded', async () => (await page.run('globalThis.loaded === true')) === true, 30_000);

const boWasTold = (text: string): Promise<void> =>
  until(`bo is told ${text}`, () => bo.pushed().some(({ body }) => body?.$case === 'text' && body.value === text), 30_000);

/** Makes `weft`, `bo`, `shown` and `proofs` of the page from a client. */
const listening = (client: string): string => `(async () => {
  globalThis.proofs = [];
  globalThis.shown = [];
  globalThis.weft = await ${client};
  weft.on('proof', (report) => proofs.push(report.kind));
  weft.on('entry', (entry) => shown.push(entry.text));
  globalThis.bo = await weft.openDirect('bo');
  await weft.live();
  globalThis.stored = JSON.stringify(weft.session);
  return weft.state.name;
})()`;

test('a browser signs up at the router, writes to another cell and is written to', { skip }, async () => {
  const options = { router: fabric.url('router-eu'), handle: 'ana', password: 'a page of its own', device: 'browser' };
  const client = `Weft.signUp({ ...${JSON.stringify(options)}, ports: { outbox: idbOutbox(indexedDB, 'ana') } })`;
  assert.equal(await page.run(listening(client)), 'live');
  assert.equal(await page.run(`bo.send('from a browser').accepted.then(({ seq }) => seq)`), 2);
  await boWasTold('from a browser');
  const log = BigInt(String(await page.run('String(bo.log)')));
  await bo.append({ log }, 'from a terminal');
  await until('the page shows it', async () => (await page.run(`shown.includes('from a terminal')`)) === true);
});

test('a node dies while the page writes: it resumes by itself, and nothing is lost or doubled', { skip }, async () => {
  await fabric.kill('node-eu-1-a');
  const texts = Array.from({ length: 20 }, (_, at) => `through the cut ${at}`);
  await page.run(`Promise.all(${JSON.stringify(texts)}.map((text) => bo.send(text).accepted)).then(() => true)`);
  for (const text of texts) await boWasTold(text);
  assert.deepEqual(await page.run(`shown.filter((text) => text.startsWith('through the cut'))`), texts);
});

test('what was written offline survives a reload in IndexedDB, and is sent by the next page', { skip }, async () => {
  await fabric.fabric.stop('node-eu-1-a');
  await until('the page has noticed', async () => (await page.run(`weft.state.name !== 'live'`)) === true, 30_000);
  const session = String(await page.run('JSON.stringify(weft.session)'));
  await page.run(`(async () => { const sent = bo.send('written offline'); await sent.stored; return true; })()`);
  await page.reload();
  await loaded();
  await fabric.fabric.start('node-eu-1-a');
  const client = `Weft.resume({ session: ${session}, ports: { outbox: idbOutbox(indexedDB, 'ana') } })`;
  assert.equal(await page.run(listening(client)), 'live');
  await boWasTold('written offline');
  assert.deepEqual(await page.run('proofs'), []);
});
