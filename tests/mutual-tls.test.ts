// The control plane and those who speak to it show each other certificates of one installation; anything else is refused, and
// says why.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type KeyedCertificate, newAuthority, newCertificate } from '@weft/local/certificates.ts';
import { WeftError } from '@weft/proto/faults.ts';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { ConfigError, Secret } from '@weft/runtime/config.ts';
import { type GrpcServer, grpcChannel, grpcService, parseServiceTokens, serveGrpc } from '@weft/runtime/grpc.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { directoryTlsName, type TlsIdentity, tlsIdentity } from '@weft/runtime/mutual-tls.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const tokens = parseServiceTokens(`eu-1:${sha256('one')},us-1:${sha256('two')}`);
const issuer = 'an installation';
const authority = newAuthority(issuer, Date.now());
const callers: string[] = [];
let server: GrpcServer;

function identity(name: string, by: KeyedCertificate = authority, dnsName = `${name}.weft`): TlsIdentity {
  const { certificate, key } = newCertificate(by, { name, dnsName, issuer, nowMs: Date.now() });
  return { authority: by.certificate, certificate, key: new Secret(key) };
}

function serve(tls: TlsIdentity | undefined): Promise<GrpcServer> {
  const absent = async (): Promise<never> => assert.fail('not called');
  const found = DirectoryServiceService.findUser.responseDeserialize(Buffer.alloc(0));
  const findUser = async (_request: unknown, { name }: { name: string }) => {
    callers.push(name);
    return found;
  };
  const service = grpcService(DirectoryServiceService, {
    findUser,
    reserve: absent,
    readChanges: absent,
    registerCell: absent,
    takeOver: absent,
  });
  return serveGrpc({ host: '127.0.0.1', port: 0, services: [service], tokens, tls, log: silentLog() });
}

before(async () => {
  server = await serve(identity('control-plane', authority, directoryTlsName));
});

after(() => server?.[Symbol.asyncDispose]());

async function ask(tls: TlsIdentity | undefined, options: { token?: string; port?: number } = {}): Promise<void> {
  using channel = grpcChannel(`127.0.0.1:${options.port ?? server.port}`, options.token ?? 'one', { tls });
  await channel.call(DirectoryServiceService.findUser, DirectoryServiceService.findUser.requestDeserialize(Buffer.alloc(0)), {
    deadlineMs: 5_000,
  });
}

/** The call fails, reaches no handler, and what it failed with says so in these words. */
async function refused(call: Promise<void>, code: string, words: RegExp): Promise<void> {
  const before = callers.length;
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof WeftError);
    assert.equal(error.code, code);
    assert.match(`${error.message} ${String(error.cause ?? '')}`, words);
    return true;
  });
  assert.equal(callers.length, before);
}

test('a caller with a certificate of the installation and the token of the same name is served', async () => {
  await ask(identity('eu-1'));
  await ask(identity('us-1'), { token: 'two' });
  assert.deepEqual(callers, ['eu-1', 'us-1']);
});

test('a caller without a certificate, or with one of another authority, does not get through', async () => {
  const { authority: known } = identity('eu-1');
  const foreign = identity('eu-1', newAuthority(issuer, Date.now()));
  // It trusts the server; the server does not trust it.
  await refused(ask({ ...foreign, authority: known }), 'directory_away', /UNAVAILABLE/);
  await refused(ask(undefined), 'directory_away', /UNAVAILABLE/);
});

test('a token is of no use with the certificate of somebody else', async () => {
  await refused(ask(identity('us-1'), { token: 'one' }), 'token_invalid', /the certificate is not that of eu-1/);
});

test('a server that is not the control plane is not believed, whoever signed its certificate', async () => {
  await using posing = await serve(identity('us-1'));
  await refused(ask(identity('eu-1'), { port: posing.port }), 'directory_away', /altnames|certificate/i);
  const { certificate, key } = identity('control-plane', newAuthority(issuer, Date.now()), directoryTlsName);
  await using foreign = await serve({ authority: authority.certificate, certificate, key });
  await refused(ask(identity('eu-1'), { port: foreign.port }), 'directory_away', /certificate|self-signed|signature/i);
});

test('certificates are what they should be, and settings come all together or not at all', () => {
  const { certificate, key, authority: signer } = identity('eu-1');
  const [own, by] = [new X509Certificate(certificate), new X509Certificate(signer)];
  assert.deepEqual([own.subject, own.ca, by.ca, own.checkIssued(by), own.verify(by.publicKey)], ['CN=eu-1', false, true, true, true]);
  assert.equal(own.checkHost('eu-1.weft'), 'eu-1.weft');
  const all = { WEFT_TLS_AUTHORITY: signer, WEFT_TLS_CERTIFICATE: certificate, WEFT_TLS_KEY: key };
  assert.deepEqual(tlsIdentity(all), { authority: signer, certificate, key });
  assert.equal(tlsIdentity({ WEFT_TLS_AUTHORITY: '', WEFT_TLS_CERTIFICATE: '', WEFT_TLS_KEY: new Secret('') }), undefined);
  assert.throws(
    () => tlsIdentity({ ...all, WEFT_TLS_KEY: new Secret('') }),
    (error) => error instanceof ConfigError && /WEFT_TLS_KEY/.test(error.message),
  );
});
