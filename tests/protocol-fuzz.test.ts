// Whatever a stranger sends, they get what the catalogues say, and the node and everybody else on it live on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { closeCodes } from '@weft/proto/close-codes.ts';
import { faults } from '@weft/proto/faults.ts';
import { ClientFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits } from '@weft/proto/limits.ts';
import fc from 'fast-check';
import { startFabric, type TestFabric } from './harness.ts';
import { appendRequest, type ClientRequest, type RawClient, show } from './raw-client.ts';
import { opcodes, RawSocket } from './raw-socket.ts';
import { until } from './until.ts';

const node = 'node-eu-1-a';
let fabric: TestFabric;
/** Who is there all the time and must notice nothing. */
let watch: RawClient;
let log = 0n;
let pid: number | undefined;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
  watch = await fabric.client('watch', 'eu-1');
  log = await watch.createGroup([]);
  pid = fabric.fabric.pid(node);
});

after(async () => {
  const closed = watch.isOpen ? undefined : await watch.closed;
  await fabric.stop();
  assert.equal(closed, undefined);
});

async function everybodyElseLives(): Promise<void> {
  await watch.accepted({ log }, 'still here');
  assert.equal(fabric.fabric.pid(node), pid, 'the node was started again');
}

/** A greeted stranger who is in no log of the others. */
const stranger = (encoding: 'proto' | 'json' = 'proto'): Promise<RawClient> =>
  fabric.client('mallory', 'eu-1', { encoding, device: `fuzz-${encoding}` });

/** Sends a message and answers the code of the next fault that answers no request. */
async function faultAfter(client: RawClient, message: Uint8Array | string): Promise<string> {
  const before = client.all('fault').length;
  client.sendBytes(message);
  return (await client.next('fault', { from: before })).code;
}

describe('the upgrade', () => {
  test('without a subprotocol, or with an unknown one, it is refused', async () => {
    for (const protocol of ['', 'weft.v2.proto', 'chat']) {
      const { raw, head } = await RawSocket.upgrade(fabric.url(node), { 'sec-websocket-protocol': protocol });
      using _raw = raw;
      assert.match(head, /^HTTP\/1\.1 400 /, protocol);
    }
    const { raw, head } = await RawSocket.upgrade(fabric.url(node), { 'sec-websocket-protocol': 'chat, weft.v1.json' });
    using _raw = raw;
    assert.match(head, /^HTTP\/1\.1 101 [\s\S]*sec-websocket-protocol: weft\.v1\.json/i);
  });

  test('compression is not agreed on, and a compressed frame ends the connection with 1002', async () => {
    const { raw, head } = await RawSocket.upgrade(fabric.url(node), { 'sec-websocket-extensions': 'permessage-deflate' });
    using _raw = raw;
    assert.doesNotMatch(head, /sec-websocket-extensions/i);
    raw.send({ opcode: opcodes.binary, payload: deflateRawSync(Buffer.alloc(10_000_000)), rsv1: true });
    assert.equal(await raw.closeCode(), closeCodes.protocolError.code);
    await everybodyElseLives();
  });
});

describe('the frame', () => {
  const cases: [string, Parameters<RawSocket['send']>, keyof typeof closeCodes][] = [
    ['an unmasked frame', [{ opcode: opcodes.binary, payload: Buffer.from([1]), masked: false }], 'protocolError'],
    ['an unknown opcode', [{ opcode: 5, payload: Buffer.from([1]) }], 'protocolError'],
    ['a continuation of nothing', [{ opcode: opcodes.continuation, payload: Buffer.from([1]) }], 'protocolError'],
    ['a fragmented ping', [{ opcode: opcodes.ping, payload: Buffer.from([1]), fin: false }], 'protocolError'],
    ['text on a protobuf connection', [{ opcode: opcodes.text, payload: Buffer.from('{}') }], 'wrongType'],
    ['a frame above the limit', [{ opcode: opcodes.binary, payload: Buffer.alloc(limits.frameBytesMax + 1) }], 'tooLarge'],
  ];
  for (const [what, frames, reason] of cases) {
    test(`${what} ends the connection with ${closeCodes[reason].code}`, async () => {
      const { raw } = await RawSocket.upgrade(fabric.url(node));
      using _raw = raw;
      raw.send(...frames);
      assert.equal(await raw.closeCode(), closeCodes[reason].code);
      await everybodyElseLives();
    });
  }

  test('text that is not UTF-8 ends a JSON connection with 1007', async () => {
    const { raw } = await RawSocket.upgrade(fabric.url(node), { 'sec-websocket-protocol': 'weft.v1.json' });
    using _raw = raw;
    raw.send({ opcode: opcodes.text, payload: Buffer.from([0x22, 0xc3, 0x28, 0x22]) });
    assert.equal(await raw.closeCode(), closeCodes.notUtf8.code);
  });

  test('fragments without end are cut off at the limit of one message', async () => {
    const { raw } = await RawSocket.upgrade(fabric.url(node));
    using _raw = raw;
    raw.send({ opcode: opcodes.binary, payload: Buffer.alloc(1_000), fin: false });
    for (let i = 0; i < limits.frameBytesMax / 1_000 + 1; i++)
      raw.send({ opcode: opcodes.continuation, payload: Buffer.alloc(1_000), fin: false });
    assert.equal(await raw.closeCode(), closeCodes.tooLarge.code);
    await everybodyElseLives();
  });

  test('no hello in time ends the connection with 1008', async () => {
    const { raw } = await RawSocket.upgrade(fabric.url(node));
    using _raw = raw;
    await until('the close', () => raw.frames().some(({ opcode }) => opcode === opcodes.close), limits.helloMsMax + 5_000);
    assert.equal(await raw.closeCode(), closeCodes.policy.code);
  });
});

describe('hello', () => {
  const hello = (token: string, device = 'fuzz'): ClientRequest => ({
    $case: 'hello',
    value: { token, device, agent: '', resume: undefined, openedAt: 0n },
  });

  test('comes first', async () => {
    await using client = await fabric.connect(node);
    assert.equal(await client.faultOf({ $case: 'readBuckets', value: {} }), 'hello_first');
    assert.equal(await client.faultOf(appendRequest({ log }, 'x', 1n)), 'hello_first');
    assert.ok(client.isOpen);
  });

  test('with a token that is none ends the connection with 4001: a fresh one may do', async () => {
    const { token } = await fabric.device('mallory', 'eu-1', 'fuzz');
    const [head, , signature] = token.split('.');
    const forged = Buffer.from(JSON.stringify({ iss: 'eu-1', sub: String(watch.user), sid: '1', dev: 'fuzz', exp: 9_999_999_999 }));
    for (const bad of ['', 'x', 'a.b.c', 'x'.repeat(20_000), `${head}.${forged.toString('base64url')}.${signature}`, `${token}x`]) {
      await using client = await fabric.connect(node);
      assert.equal(await client.faultOf(hello(bad)), 'token_invalid');
      assert.equal((await client.closed).code, closeCodes.tokenExpired.code);
    }
  });

  test('of another device than the token’s is no hello, and one of an impossible device may be said again', async () => {
    const { token } = await fabric.device('mallory', 'eu-1', 'fuzz');
    await using client = await fabric.connect(node);
    assert.equal(await client.faultOf(hello(token, 'no device')), 'bad_request');
    await client.hello({ token, device: 'fuzz' });
    assert.equal(await client.faultOf(hello(token)), 'bad_request');
    assert.ok(client.isOpen);
  });

  test('at the wrong home is told where to go, and closed with 4003', async () => {
    const { token } = await fabric.device('uma', 'us-1');
    await using client = await fabric.connect(node);
    const redirect = await client.ask(hello(token, 'phone'), 'redirect');
    assert.equal(redirect.cell, 'us-1');
    assert.equal(redirect.url, `${fabric.url('node-us-1-a').replace('http', 'ws')}/v1/socket`);
    assert.equal((await client.closed).code, closeCodes.redirected.code);
  });
});

describe('a request', () => {
  test('that is no protobuf, no JSON or no request gets its fault, and ten of them end the connection', async () => {
    const proto = await stranger();
    for (const bytes of [[0xff], [0x08], [0x1a, 0x7f], [], [0x00], [0x0b, 0x0b, 0x0b]])
      assert.equal(await faultAfter(proto, Buffer.from(bytes)), 'bad_frame', String(bytes));
    assert.ok(proto.isOpen);
    await proto[Symbol.asyncDispose]();
    const json = await stranger('json');
    for (const text of [
      '',
      'nonsense',
      '[]',
      'null',
      '{"id":"x"}',
      '{"id":"-1","readBuckets":{}}',
      '{"id":1.5}',
      '{"id":"18446744073709551616"}',
    ])
      assert.equal(await faultAfter(json, text), 'bad_frame', text);
    for (let i = 0; i < 2; i++) json.sendBytes('nonsense');
    assert.equal((await json.closed).code, closeCodes.policy.code);
    await everybodyElseLives();
  });

  test('this version does not know is told so, with its id', async () => {
    await using proto = await stranger();
    const answered = proto.answerTo(77n);
    proto.sendBytes(Buffer.from([0x08, 77, 0x82, 0x02, 0x00]));
    assert.match(show(await answered), /unknown_request/);
    await using json = await stranger('json');
    const told = json.answerTo(78n);
    json.sendBytes('{"id":"78","danceTogether":{"fast":true}}');
    assert.match(show(await told), /unknown_request/);
  });

  test('for a log that is not there, or not the stranger’s, is told the same', async () => {
    await using client = await stranger();
    for (const target of [1n, log, 2n ** 63n - 1n]) {
      const history = await client.faultOf({ $case: 'readHistory', value: { log: target, from: 0n, before: 0n, limit: 0 } });
      assert.equal(history, 'unknown_log');
      assert.equal(await client.faultOf({ $case: 'readMembers', value: { log: target } }), 'unknown_log');
      assert.match(await client.faultOf(appendRequest({ log: target }, 'x', client.freshEntryId())), /unknown_log|not_a_member/);
    }
    assert.equal(await client.faultOf({ $case: 'openDirect', value: { peer: 12n, clientEntryId: client.freshEntryId() } }), 'unknown_user');
    assert.equal(await client.faultOf(appendRequest({ peer: 12n }, 'x', client.freshEntryId())), 'unknown_user');
  });

  test('with text that is none, or too much of it, is refused by name', async () => {
    await using client = await stranger();
    const own = await client.createGroup([]);
    assert.equal(await client.faultOf(appendRequest({ log: own }, 'a\0b', client.freshEntryId())), 'bad_text');
    const large = 'x'.repeat(limits.entryBytesMax + 1);
    assert.equal(await client.faultOf(appendRequest({ log: own }, large, client.freshEntryId())), 'entry_too_large');
    await client.accepted({ log: own }, large.slice(1));
    const whole = Buffer.from(
      ClientFrame.encode({ id: 99n, request: appendRequest({ log: own }, 'abcd', client.freshEntryId()) }).finish(),
    );
    whole[whole.length - 2] = 0xff;
    const answered = client.answerTo(99n);
    client.sendBytes(whole);
    assert.match(show(await answered), /bad_text/);
    await using json = await stranger('json');
    const told = json.answerTo(5n);
    json.sendBytes(`{"id":"5","append":{"log":"${own}","clientEntryId":"7","text":"half \\ud800 a pair"}}`);
    assert.match(show(await told), /bad_text/);
  });

  test('with numbers that fit no field ends nobody’s node', async () => {
    const json = await stranger('json');
    const huge = `1${'0'.repeat(400)}`;
    const before = json.all('fault').length;
    json.sendBytes(`{"id":"${huge}","append":{"log":"${log}","clientEntryId":"7","text":"x"}}`);
    json.sendBytes(`{"id":"6","readHistory":{"log":"-1"}}`);
    json.sendBytes(`{"id":"7","readHistory":{"log":"${log}","limit":-5}}`);
    await until('three faults', () => json.all('fault').length >= before + 3);
    assert.deepEqual(
      json.all('fault').map(({ code }) => code),
      ['bad_frame', 'bad_frame', 'bad_frame'],
    );
    await everybodyElseLives();
  });
});

describe('anything at all', () => {
  const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n));
  const u32 = fc.oneof(fc.nat(300), fc.constantFrom(0, 2 ** 32 - 1));
  const ids = fc.array(u64, { maxLength: 300 });
  /** Every request with any values in its fields: all of it decodes. */
  const requests: fc.Arbitrary<ClientRequest> = fc.oneof(
    fc.record({ peer: u64, clientEntryId: u64 }).map((value) => ({ $case: 'openDirect' as const, value })),
    fc
      .record({ clientEntryId: u64, title: fc.string({ unit: 'binary', maxLength: 200 }), members: ids, membersMax: u32 })
      .map((value) => ({ $case: 'createGroup' as const, value })),
    fc.record({ log: u64, clientEntryId: u64, add: ids, remove: ids }).map((value) => ({ $case: 'changeMembers' as const, value })),
    fc.record({ log: u64, from: u64, before: u64, limit: u32 }).map((value) => ({ $case: 'readHistory' as const, value })),
    fc
      .record({ log: u64, kind: fc.constantFrom('MARK_KIND_SEEN' as const, 'MARK_KIND_UNSPECIFIED' as const), epoch: u64, seq: u64 })
      .map((value) => ({ $case: 'setMark' as const, value })),
    fc.array(u32, { maxLength: 100 }).map((buckets) => ({ $case: 'readHeads' as const, value: { buckets } })),
    fc.record({ after: u64, limit: u32 }).map((value) => ({ $case: 'listLogs' as const, value })),
    u64.map((value) => ({ $case: 'readMembers' as const, value: { log: value } })),
    fc.string().map((token) => ({ $case: 'renewToken' as const, value: { token } })),
    fc
      .tuple(u64, u64, fc.string({ unit: 'binary', maxLength: 50 }))
      .map(([target, id, text]) => appendRequest(target % 2n === 0n ? { log: target } : { peer: target }, text, id)),
  );

  /** The request, with what may be a log of the stranger's own in place of some. */
  const aimed = (request: ClientRequest, own: bigint): ClientRequest =>
    'log' in request.value && request.value.log % 3n === 0n
      ? ({ ...request, value: { ...request.value, log: own } } as ClientRequest)
      : request;

  for (const encoding of ['proto', 'json'] as const) {
    test(`well-formed requests with wild values get an answer of the catalogue, never "internal" (${encoding})`, async () => {
      await using client = await stranger(encoding);
      const own = await client.createGroup([]);
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          const event = await client.request(aimed(request, own));
          if (event.$case !== 'fault') return;
          assert.ok(event.value.code in faults, event.value.code);
          assert.notEqual(event.value.code, 'internal', show(event));
        }),
        { numRuns: 150, endOnFailure: true },
      );
      await everybodyElseLives();
    });
  }

  test('random and mutated bytes never end the node', async () => {
    let client = await stranger();
    const mutated = fc.tuple(requests, fc.nat(), fc.nat(255)).map(([request, at, byte]) => {
      // No id of the client's own requests, whatever one byte of it becomes: its answers must not be taken for theirs.
      const bytes = Buffer.from(ClientFrame.encode({ id: 0x3fff_ffff_ffffn, request }).finish());
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
          mutated,
        ),
        async (bytes) => {
          client.sendBytes(bytes);
          // Answered in order with what was sent: the node has looked at it.
          const answer = await Promise.race([client.request({ $case: 'readBuckets', value: {} }).catch(() => undefined), client.closed]);
          if (!client.isOpen) client = await stranger();
          assert.ok(answer === undefined || 'code' in answer || answer.$case === 'buckets' || answer.$case === 'fault', String(answer));
        },
      ),
      { numRuns: 150, endOnFailure: true },
    );
    await client[Symbol.asyncDispose]();
    await everybodyElseLives();
  });
});
