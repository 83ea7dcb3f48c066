// X.509 certificates of one installation (RFC 5280), as bytes by hand: Node makes keys and signatures, and no certificates.
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** PEM. */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly key: string;
}

const yearsValid = 10;
const dayMs = 86_400_000;

/** Signs the others' certificates, and nothing else. */
export function newAuthority(name: string, nowMs: number): KeyedCertificate {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = [extension(oids.basicConstraints, sequence(boolean(true))), extension(oids.keyUsage, keyCertSign)];
  return made({ subject: name, issuer: name, keys, signer: keys.privateKey, extensions, nowMs });
}

/** For both ends of a connection; `dnsName` is what its clients must ask for. */
export function newCertificate(
  authority: KeyedCertificate,
  of: { name: string; dnsName: string; issuer: string; nowMs: number },
): KeyedCertificate {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = [
    extension(oids.subjectAltName, sequence(tagged(0x82, Buffer.from(of.dnsName)))),
    extension(oids.extendedKeyUsage, sequence(oids.serverAuth, oids.clientAuth)),
  ];
  const { name: subject, issuer, nowMs } = of;
  return made({ subject, issuer, keys, signer: createPrivateKey(authority.key), extensions, nowMs });
}

interface Parts {
  readonly subject: string;
  readonly issuer: string;
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly signer: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly nowMs: number;
}

function made({ subject, issuer, keys, signer, extensions, nowMs }: Parts): KeyedCertificate {
  const algorithm = sequence(oids.ecdsaWithSha256);
  const serial = randomBytes(16);
  // Positive and without leading zeros.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, serial),
    algorithm,
    nameOf(issuer),
    sequence(utcTime(nowMs - dayMs), utcTime(nowMs + yearsValid * 365 * dayMs)),
    nameOf(subject),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, signer);
  const der = sequence(body, algorithm, bits(signature));
  const lines = der.toString('base64').replaceAll(/(.{64})(?!$)/g, '$1\n');
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** Tag, length, value (X.690, section 8.1). */
function tagged(tag: number, ...values: readonly Buffer[]): Buffer {
  const value = Buffer.concat(values);
  const { length } = value;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

const sequence = (...values: readonly Buffer[]): Buffer => tagged(0x30, ...values);
const bits = (bytes: Buffer): Buffer => tagged(0x03, Buffer.from([0]), bytes);
const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));
const oid = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, 'hex'));
/** Until 2049. */
const utcTime = (ms: number): Buffer => tagged(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-T:]/g, '')}Z`));
const nameOf = (commonName: string): Buffer => sequence(tagged(0x31, sequence(oids.commonName, tagged(0x0c, Buffer.from(commonName)))));
/** Critical. */
const extension = (id: Buffer, value: Buffer): Buffer => sequence(id, boolean(true), tagged(0x04, value));

const oids = {
  commonName: oid('550403'),
  ecdsaWithSha256: oid('2a8648ce3d040302'),
  basicConstraints: oid('551d13'),
  keyUsage: oid('551d0f'),
  subjectAltName: oid('551d11'),
  extendedKeyUsage: oid('551d25'),
  serverAuth: oid('2b06010505070301'),
  clientAuth: oid('2b06010505070302'),
} as const;
/** Bit 5 of the key's uses. */
const keyCertSign = tagged(0x03, Buffer.from([2, 0x04]));
