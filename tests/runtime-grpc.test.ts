import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { type Caller, grpcChannel, grpcService, type Handlers, parseServiceTokens, serveGrpc } from '@weft/runtime/grpc.ts';
import { healthCheck } from '@weft/runtime/grpc-health.ts';
import { fromStatus, toStatus } from '@weft/runtime/grpc-status.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { Health } from '@weft/runtime/observability.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const tokens = parseServiceTokens(`eu-1:${sha256('one')},router-eu:${sha256('two')}`);

type Find = Handlers<typeof DirectoryServiceService>['findUser'];

async function serve(findUser: Find, more: { port?: number; health?: Health } = {}) {
  const absent = async (): Promise<never> => assert.fail('not called');
  const service = grpcService(DirectoryServiceService, {
    findUser,
    reserve: absent,
    readChanges: absent,
    registerCell: absent,
    takeOver: absent,
  });
  return serveGrpc({ host: '127.0.0.1', port: 0, services: [service], tokens, log: silentLog(), ...more });
}

const nobody = DirectoryServiceService.findUser.requestDeserialize(Buffer.alloc(0));
const found = DirectoryServiceService.findUser.responseDeserialize(Buffer.alloc(0));

const asked = async (port: number, token: string, options?: { deadlineMs?: number; signal?: AbortSignal }) => {
  using channel = grpcChannel(`127.0.0.1:${port}`, token);
  return await channel.call(DirectoryServiceService.findUser, nobody, options);
};

/** A plain TCP server; disposing it cuts its connections. */
async function listen(onSocket: (socket: Socket) => void): Promise<AsyncDisposable & { port: number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    onSocket(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

test('a call reaches its handler with the name of its token', async () => {
  const callers: string[] = [];
  await using server = await serve(async (_request, caller) => {
    callers.push(caller.name);
    return found;
  });
  await asked(server.port, 'one');
  await asked(server.port, 'two');
  assert.deepEqual(callers, ['eu-1', 'router-eu']);
});

test('without a good token nothing is called', async () => {
  await using server = await serve(async () => assert.fail('called'));
  for (const token of ['', 'three', sha256('one'), 'one '])
    await assert.rejects(asked(server.port, token), { name: 'WeftError', code: 'token_invalid' });
});

test('a fault arrives as it was thrown, whatever its code', async () => {
  let next: unknown;
  await using server = await serve(async () => {
    throw next;
  });
  for (const code of Object.keys(faults) as FaultCode[]) {
    next = new WeftError(code, 'because', 250);
    await assert.rejects(asked(server.port, 'one'), { name: 'WeftError', code, afterMs: 250, message: (next as Error).message });
  }
  next = new Error('a secret of the database');
  await assert.rejects(asked(server.port, 'one'), { code: 'internal', message: faults.internal.text });
});

test('a fault without detail keeps its plain text on both sides', () => {
  const back = fromStatus(toStatus(new WeftError('handle_taken')));
  assert.deepEqual([back.code, back.message, back.afterMs], ['handle_taken', faults.handle_taken.text, 0]);
});

test('nobody there, a server that never answers and one that hangs are all directory_away within the deadline', async () => {
  const began = performance.now();
  await assert.rejects(asked(1, 'one', { deadlineMs: 300 }), { code: 'directory_away' });
  await using dumb = await listen(() => undefined);
  await assert.rejects(asked(dumb.port, 'one', { deadlineMs: 300 }), { code: 'directory_away' });
  let caller: Caller | undefined;
  await using server = await serve(async (_request, given) => {
    caller = given;
    await once(given.signal, 'abort');
    throw new WeftError('not_ready');
  });
  await assert.rejects(asked(server.port, 'one', { deadlineMs: 300 }), { code: 'directory_away' });
  assert(performance.now() - began < 2_000);
  if (caller?.signal.aborted === false) await once(caller.signal, 'abort', { signal: AbortSignal.timeout(5_000) });
  assert(caller?.signal.aborted);
});

test('a call that its caller stops rejects with the reason', async () => {
  await using server = await serve(async (_request, caller) => {
    await once(caller.signal, 'abort');
    throw new WeftError('not_ready');
  });
  const stop = new AbortController();
  const call = asked(server.port, 'one', { signal: stop.signal });
  const reason = new Error('not needed any more');
  stop.abort(reason);
  await assert.rejects(call, reason);
  await assert.rejects(asked(server.port, 'one', { signal: stop.signal }), reason);
});

test('a channel finds its server again after a restart', async () => {
  const first = await serve(async () => found);
  using channel = grpcChannel(`127.0.0.1:${first.port}`, 'one');
  const call = () => channel.call(DirectoryServiceService.findUser, nobody, { deadlineMs: 5_000 });
  await call();
  await first[Symbol.asyncDispose]();
  await assert.rejects(call(), { code: 'directory_away' });
  await using second = await serve(async () => found, { port: first.port });
  assert.equal(second.port, first.port);
  const deadline = performance.now() + 10_000;
  for (;;) {
    const ok = await call().then(
      () => true,
      () => false,
    );
    if (ok) break;
    assert(performance.now() < deadline, 'not found again');
  }
});

test('a connection on which the server never says a word is given up for another', async () => {
  await using server = await serve(async () => found);
  let connections = 0;
  await using silentAtFirst = await listen((socket) => {
    connections += 1;
    if (connections === 1) return;
    const onward = connect(server.port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
  using channel = grpcChannel(`127.0.0.1:${silentAtFirst.port}`, 'one', { connectMsMax: 100 });
  const call = () => channel.call(DirectoryServiceService.findUser, nobody, { deadlineMs: 200 });
  await assert.rejects(call(), { code: 'directory_away' });
  await assert.rejects(call(), { code: 'directory_away' });
  await call();
  assert.equal(connections, 2);
});

test('a server leaves within its time though a call hangs', async () => {
  const entered = Promise.withResolvers<void>();
  const server = await serve(async (_request, caller) => {
    entered.resolve();
    await once(caller.signal, 'abort');
    return found;
  });
  const call = asked(server.port, 'one', { deadlineMs: 10_000 });
  await entered.promise;
  const began = performance.now();
  await Promise.all([server[Symbol.asyncDispose](), assert.rejects(call, { code: 'directory_away' })]);
  assert(performance.now() - began < 4_000);
});

test('the health service follows readiness, without a token', async () => {
  const health = new Health();
  await using server = await serve(async () => assert.fail('called'), { health });
  using channel = grpcChannel(`127.0.0.1:${server.port}`, '');
  assert.deepEqual(await channel.call(healthCheck, { service: '' }), { status: 2 });
  health.set('sql', true);
  assert.deepEqual(await channel.call(healthCheck, { service: '' }), { status: 1 });
  assert.deepEqual(await channel.call(healthCheck, { service: 'weft.directory.v1.DirectoryService' }), { status: 1 });
  health.draining();
  assert.deepEqual(await channel.call(healthCheck, { service: '' }), { status: 2 });
  await assert.rejects(channel.call(healthCheck, { service: 'other' }), { code: 'internal' });
});

test('service tokens that are not name:sha256hex are refused', () => {
  for (const text of ['', 'eu-1', `eu-1:${sha256('x').slice(1)}`, `eu-1:${sha256('x')},eu-1:${sha256('y')}`, `EU:${sha256('x')}`])
    assert.throws(() => parseServiceTokens(text));
});
