// Both sides of a gRPC connection show a certificate that one authority of the installation has signed. Optional: where nothing is
// configured, calls go in the clear, for one machine and for tests.
import { X509Certificate } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { z } from 'zod';
import { ConfigError, Secret } from './config.ts';

/** What one process shows, and who must have signed what the other side shows. PEM. */
export interface TlsIdentity {
  readonly authority: string;
  readonly certificate: string;
  readonly key: Secret;
}

/** Name in the control plane's certificate, whatever address it is reached by: a cell's certificate must not do for it. */
export const directoryTlsName = 'directory.weft';

const pem = () =>
  z
    .string()
    .refine((value) => value === '' || isCertificate(value), 'must be a certificate in PEM')
    .default('');

/** All three or none. */
export const tlsKeys = {
  WEFT_TLS_AUTHORITY: pem(),
  WEFT_TLS_CERTIFICATE: pem(),
  WEFT_TLS_KEY: z
    .string()
    .default('')
    .transform((value) => new Secret(value)),
};

/** Undefined: in the clear. Throws ConfigError when one of the three is missing. */
export function tlsIdentity(read: {
  readonly WEFT_TLS_AUTHORITY: string;
  readonly WEFT_TLS_CERTIFICATE: string;
  readonly WEFT_TLS_KEY: Secret;
}): TlsIdentity | undefined {
  const { WEFT_TLS_AUTHORITY: authority, WEFT_TLS_CERTIFICATE: certificate, WEFT_TLS_KEY: key } = read;
  const missing = Object.entries({ WEFT_TLS_AUTHORITY: authority, WEFT_TLS_CERTIFICATE: certificate, WEFT_TLS_KEY: key.reveal() })
    .filter(([, value]) => value === '')
    .map(([name]) => `${name}: is missing; WEFT_TLS_AUTHORITY, WEFT_TLS_CERTIFICATE and WEFT_TLS_KEY come together`);
  if (missing.length === 3) return undefined;
  if (missing.length > 0) throw new ConfigError(missing);
  return { authority, certificate, key };
}

export const serverCredentials = (tls: TlsIdentity | undefined): grpc.ServerCredentials =>
  tls === undefined
    ? grpc.ServerCredentials.createInsecure()
    : grpc.ServerCredentials.createSsl(
        Buffer.from(tls.authority),
        [{ cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.key.reveal()) }],
        true,
      );

export const clientCredentials = (tls: TlsIdentity | undefined): grpc.ChannelCredentials =>
  tls === undefined
    ? grpc.credentials.createInsecure()
    : grpc.credentials.createSsl(Buffer.from(tls.authority), Buffer.from(tls.key.reveal()), Buffer.from(tls.certificate));

/** The common name of a caller's certificate; undefined without one. */
export const certifiedName = (call: {
  getAuthContext(): ReturnType<grpc.ServerUnaryCall<unknown, unknown>['getAuthContext']>;
}): string | undefined => {
  const name = call.getAuthContext()?.sslPeerCertificate?.subject?.CN;
  return typeof name === 'string' ? name : undefined;
};

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== '';
  } catch {
    return false;
  }
}
