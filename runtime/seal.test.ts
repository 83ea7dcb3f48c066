import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import { Sealer, type SealHeader, type WhyNotOpen } from './seal.ts';
import { makeSealKey, type OwnSealKey, type PeerSealKey } from './seal-keys.ts';

const header: SealHeader = { id: 77n, attempt: 2, cls: 'e', p: 3, what: '' };
const plain = new TextEncoder().encode('a small frame');
const time = { nowMs: 1_800_000_000_000, now: () => time.nowMs };

/** One cell as the others see it through the directory. */
class Cell {
  readonly own: OwnSealKey[] = [];
  readonly published: PeerSealKey[] = [];
  readonly known = new Map<string, Cell>();
  readonly name: string;
  generation = 1;
  readonly sealer: Sealer;

  constructor(name: string) {
    this.name = name;
    this.rotate();
    this.sealer = new Sealer({
      cell: name,
      ownKeys: () => this.own,
      peerKeys: (cell) => this.known.get(cell)?.published ?? [],
      generation: () => this.generation,
      clock: time,
    });
  }

  rotate(sealsFromMs = 0): void {
    const version = this.own.length + 1;
    const pair = makeSealKey();
    this.own.push({ version, privateKey: pair.privateKey, sealsFromMs });
    this.published.push({ version, publicKey: pair.publicKey, generation: this.generation, ends: 0 });
  }

  /** A restored store: same keys, next generation. */
  restore(): void {
    this.generation++;
    for (const [at, key] of this.published.entries()) this.published[at] = { ...key, generation: this.generation };
  }
}

function cells<const N extends readonly string[]>(...names: N): { [K in keyof N]: Cell } {
  const made = names.map((name) => new Cell(name));
  for (const a of made) for (const b of made) if (a !== b) a.known.set(b.name, b);
  return made as { [K in keyof N]: Cell };
}

function why(sealer: Sealer, src: string, bytes: Uint8Array, kind: 'frame' | 'signal' | 'answer' = 'frame'): WhyNotOpen | 'opened' {
  const opened = sealer.open(kind, src, bytes);
  return opened.ok ? 'opened' : opened.why;
}

test('what one cell seals the other opens, with its header', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const sealed = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  const opened = us.sealer.openAt({ kind: 'frame', src: 'eu-1', cls: 'e', p: 3 }, sealed);
  assert(opened.ok);
  assert.deepEqual(Buffer.from(opened.plain), Buffer.from(plain));
  assert.deepEqual(opened.header, { ...header, time: time.nowMs });
  const empty = us.sealer.open('frame', 'eu-1', eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, new Uint8Array()));
  assert(empty.ok && empty.plain.length === 0);
});

test('every flipped bit, every cut and every added byte makes a frame that does not open', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const sealed = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  for (let at = 0; at < sealed.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bent = Uint8Array.from(sealed);
      bent[at] = (bent[at] ?? 0) ^ (1 << bit);
      assert.notEqual(why(us.sealer, 'eu-1', bent), 'opened', `byte ${at}, bit ${bit}`);
    }
    assert.notEqual(why(us.sealer, 'eu-1', sealed.subarray(0, at)), 'opened', `cut at ${at}`);
  }
  assert.equal(why(us.sealer, 'eu-1', Buffer.concat([sealed, Buffer.of(0)])), 'wrong-key');
  assert.equal(why(us.sealer, 'eu-1', sealed), 'opened');
});

test('bytes that were never sealed are told apart from those sealed with a wrong key', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  assert.equal(why(us.sealer, 'eu-1', plain), 'unsealed');
  assert.equal(why(us.sealer, 'eu-1', new Uint8Array()), 'unsealed');
  const [impostor] = cells('eu-1', 'us-1');
  impostor.known.set('us-1', us);
  assert.equal(why(us.sealer, 'eu-1', impostor.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain)), 'wrong-key');
  assert.equal(why(us.sealer, 'eu-1', eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain)), 'opened');
});

test('a frame put at another address does not open there', () => {
  const [eu, us, us2] = cells('eu-1', 'us-1', 'us-2');
  const sealed = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  assert.equal(why(us2.sealer, 'eu-1', sealed), 're-addressed');
  assert.equal(why(us.sealer, 'us-2', sealed), 're-addressed');
  assert.equal(why(us.sealer, 'eu-1', sealed, 'answer'), 're-addressed');
  assert.equal(why(eu.sealer, 'us-1', sealed), 're-addressed');
  for (const at of [{ cls: 'i' }, { p: 2 }, { what: 'pull' }, { id: 78n }] as const) {
    const opened = us.sealer.openAt({ kind: 'frame', src: 'eu-1', ...at }, sealed);
    assert(!opened.ok && opened.why === 're-addressed');
  }
});

test('one cell cannot seal for another, nor reflect what it was sent', () => {
  const [eu, us, us2] = cells('eu-1', 'us-1', 'us-2');
  const sealed = Buffer.from(us2.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain));
  sealed.write('eu-1', 43, 'latin1');
  assert.equal(why(us.sealer, 'eu-1', sealed), 'wrong-key');
  const back = Buffer.from(eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain));
  back.write('us-1eu-1', 43, 'latin1');
  assert.equal(why(eu.sealer, 'us-1', back), 'wrong-key');
});

test('a frame of an older or newer generation of either side is stale', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const before = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  eu.restore();
  assert.equal(why(us.sealer, 'eu-1', before), 'stale');
  const after = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  assert.equal(why(us.sealer, 'eu-1', after), 'opened');
  us.restore();
  assert.equal(why(us.sealer, 'eu-1', after), 'stale');
  assert.equal(why(us.sealer, 'eu-1', eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain)), 'opened');
});

test('a frame whose generation was rewritten does not open', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const before = Buffer.from(eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain));
  eu.restore();
  before.writeUInt32BE(2, 12);
  assert.equal(why(us.sealer, 'eu-1', before), 'wrong-key');
  const forDst = Buffer.from(eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain));
  us.restore();
  forDst.writeUInt32BE(2, 16);
  assert.equal(why(us.sealer, 'eu-1', forDst), 'wrong-key');
});

test('both sides rotate and lose nothing; a key that ended opens no more', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const first = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  eu.rotate();
  const second = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  us.rotate();
  const third = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  for (const sealed of [first, second, third]) assert.equal(why(us.sealer, 'eu-1', sealed), 'opened');
  const versions = [first, second, third].map((sealed) => [Buffer.from(sealed).readUInt32BE(4), Buffer.from(sealed).readUInt32BE(8)]);
  assert.deepEqual(versions, [
    [1, 1],
    [2, 1],
    [2, 2],
  ]);
  const old = eu.published[0];
  assert(old);
  eu.published[0] = { ...old, ends: time.nowMs };
  assert.equal(why(us.sealer, 'eu-1', first), 'wrong-key');
  us.own.shift();
  assert.equal(why(us.sealer, 'eu-1', second), 'wrong-key');
  assert.equal(why(us.sealer, 'eu-1', third), 'opened');
});

test('a new key opens at once and seals only when its time has come', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  eu.rotate(time.nowMs + 5_000);
  const early = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  assert.equal(Buffer.from(early).readUInt32BE(4), 1);
  time.nowMs += 5_000;
  const late = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  assert.equal(Buffer.from(late).readUInt32BE(4), 2);
  for (const sealed of [early, late]) assert.equal(why(us.sealer, 'eu-1', sealed), 'opened');
});

test('a signal opens for 30 s, a frame for as long as its keys live', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const signal = eu.sealer.seal({ kind: 'signal', dst: 'us-1' }, { id: 0n, attempt: 0, p: 0, what: 'beat' }, plain);
  const frame = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  time.nowMs += 30_000;
  assert.equal(why(us.sealer, 'eu-1', signal, 'signal'), 'opened');
  time.nowMs += 1;
  assert.equal(why(us.sealer, 'eu-1', signal, 'signal'), 'stale');
  time.nowMs -= 60_002;
  assert.equal(why(us.sealer, 'eu-1', signal, 'signal'), 'stale');
  assert.equal(why(us.sealer, 'eu-1', frame), 'opened');
});

test('without a key of the other cell sealing is a fault and opening a value; a bad published key likewise', () => {
  const [eu, us] = cells('eu-1', 'us-1');
  const sealed = eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain);
  assert.throws(
    () => eu.sealer.seal({ kind: 'frame', dst: 'us-9' }, header, plain),
    (error) => error instanceof WeftError && error.code === 'peer_away',
  );
  us.known.delete('eu-1');
  assert.equal(why(us.sealer, 'eu-1', sealed), 'wrong-key');
  us.known.set('eu-1', eu);
  eu.published[0] = { version: 1, publicKey: new Uint8Array(32), generation: 1, ends: 0 };
  assert.equal(why(us.sealer, 'eu-1', sealed), 'wrong-key');
});

test('no two seals share a nonce', () => {
  const [eu] = cells('eu-1', 'us-1');
  const front = 43 + 8;
  const nonces = Array.from({ length: 5_000 }, () =>
    Buffer.from(eu.sealer.seal({ kind: 'frame', dst: 'us-1' }, header, plain)).toString('hex', front, front + 12),
  );
  assert.equal(new Set(nonces).size, nonces.length);
});
