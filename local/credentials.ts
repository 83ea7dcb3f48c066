// The secrets of one installation, generated once and kept in its data folder (0600), never in the repository.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { Secret } from '@weft/runtime/config.ts';
import type { TlsIdentity } from '@weft/runtime/mutual-tls.ts';
import { directoryTlsName } from '@weft/runtime/mutual-tls.ts';
import { type KeyedCertificate, newAuthority, newCertificate } from './certificates.ts';
import type { FabricPlan } from './plan.ts';
import { readJson, writeJson } from './state-file.ts';

export interface CellCredentials {
  /** Proves the cell to the control plane. */
  readonly serviceToken: string;
  /** base64url, 32 bytes: wraps the private keys the cell keeps in SQL. */
  readonly keySecret: string;
  /** `id:base64url` pairs; the highest id is current. */
  readonly peppers: string;
}

export interface Credentials {
  readonly cells: Readonly<Record<string, CellCredentials>>;
  /** Service tokens of the routers by region. */
  readonly routers: Readonly<Record<string, string>>;
  /** Lets who holds it ask the cells where a message is. */
  readonly operatorToken: string;
  /** Ed25519, base64url of the raw 32 bytes: seed of the control plane, and the public key everybody else checks with. */
  readonly directorySignKey: string;
  readonly directoryKey: string;
  /** Signs the certificates below: of the control plane, of each cell and each router, by the name of its token. */
  readonly authority: KeyedCertificate;
  readonly certificates: Readonly<Record<string, KeyedCertificate>>;
}

export const controlPlaneName = 'control-plane';
export const routerName = (region: string): string => `router-${region}`;

/** Token and certificate of whoever operates the installation. */
const operatorName = 'operator';

/** What an operator shows the control plane. */
export function operatorIdentity({ authority, certificates }: Credentials): TlsIdentity {
  const { certificate, key } = certificates[operatorName] ?? authority;
  return { authority: authority.certificate, certificate, key: new Secret(key) };
}

const secret = (): string => randomBytes(32).toString('base64url');

/** Reads the installation's credentials, generating what is missing: a cell or region added later, or everything. */
export function loadCredentials(file: string, plan: FabricPlan): Credentials {
  const kept = readJson<Partial<Credentials>>(file) ?? {};
  const credentials: Credentials = {
    ...directoryKeys(kept),
    operatorToken: kept.operatorToken ?? secret(),
    ...certificatesOf(kept, [
      controlPlaneName,
      operatorName,
      ...plan.cells.map(({ name }) => name),
      ...plan.regions.map(({ name }) => routerName(name)),
    ]),
    cells: { ...kept.cells, ...Object.fromEntries(plan.cells.map(({ name }) => [name, kept.cells?.[name] ?? newCell()])) },
    routers: { ...kept.routers, ...Object.fromEntries(plan.regions.map(({ name }) => [name, kept.routers?.[name] ?? secret()])) },
  };
  writeJson(file, credentials);
  return credentials;
}

const authorityName = 'weft installation';

function certificatesOf(kept: Partial<Credentials>, names: readonly string[]): Pick<Credentials, 'authority' | 'certificates'> {
  const nowMs = Date.now();
  const authority = kept.authority ?? newAuthority(authorityName, nowMs);
  const known: Readonly<Record<string, KeyedCertificate>> = kept.certificates ?? {};
  const fresh = names
    .filter((name) => known[name] === undefined)
    .map((name) => {
      const dnsName = name === controlPlaneName ? directoryTlsName : `${name}.weft`;
      return [name, newCertificate(authority, { name, dnsName, issuer: authorityName, nowMs })] as const;
    });
  return { authority, certificates: { ...known, ...Object.fromEntries(fresh) } };
}

const newCell = (): CellCredentials => ({ serviceToken: secret(), keySecret: secret(), peppers: `1:${secret()}` });

function directoryKeys(kept: Partial<Credentials>): { directorySignKey: string; directoryKey: string } {
  if (kept.directorySignKey !== undefined && kept.directoryKey !== undefined) {
    return { directorySignKey: kept.directorySignKey, directoryKey: kept.directoryKey };
  }
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new Error('an Ed25519 key came without its parts');
  return { directorySignKey: d, directoryKey: x };
}

/** `name:sha256hex,…`: what the control plane knows of the tokens of those who may speak to it. */
export function serviceTokenDigests(credentials: Credentials): string {
  const named = [
    [operatorName, credentials.operatorToken] as const,
    ...Object.entries(credentials.cells).map(([cell, { serviceToken }]) => [cell, serviceToken] as const),
    ...Object.entries(credentials.routers).map(([region, token]) => [routerName(region), token] as const),
  ];
  return named.map(([name, token]) => `${name}:${digestOf(token)}`).join(',');
}

/** What the cells know of the operator's token. */
export const operatorTokenDigest = ({ operatorToken }: Credentials): string => `operator:${digestOf(operatorToken)}`;

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');
