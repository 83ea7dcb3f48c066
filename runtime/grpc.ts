// gRPC between our processes, both sides: unary calls, each with the token of a service, a deadline, and an answer or a WeftError.
import { createHash, timingSafeEqual } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { WeftError } from '@weft/proto/faults.ts';
import { healthService } from './grpc-health.ts';
import { fromStatus, toStatus } from './grpc-status.ts';
import { runtimeLimits as limits } from './limits.ts';
import type { Log } from './log.ts';
import { certifiedName, clientCredentials, directoryTlsName, serverCredentials, type TlsIdentity } from './mutual-tls.ts';
import type { Health } from './observability.ts';

/** A unary method as ts-proto generates it. */
export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly requestDeserialize: (value: Buffer) => Request;
  readonly responseSerialize: (value: Response) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/** Who calls, and until when the answer is of use. */
export interface Caller {
  /** Name of the service token, from the table of tokens. */
  readonly name: string;
  /** Aborted when the caller gave up or its deadline passed. */
  readonly signal: AbortSignal;
}

/** One handler per method; a WeftError it throws reaches the caller, anything else becomes `internal` and is logged. */
export type Handlers<Definition> = {
  readonly [Name in keyof Definition]: Definition[Name] extends UnaryMethod<infer Request, infer Response>
    ? (request: Request, caller: Caller) => Promise<Response>
    : never;
};

export interface GrpcService {
  readonly definition: grpc.ServiceDefinition;
  readonly handlers: Readonly<Record<string, (request: unknown, caller: Caller) => Promise<unknown>>>;
}

/** Pairs a generated definition (`DirectoryServiceService`) with its handlers. */
export function grpcService<Definition extends object>(definition: Definition, handlers: Handlers<Definition>): GrpcService {
  return { definition: definition as unknown as grpc.ServiceDefinition, handlers: handlers as unknown as GrpcService['handlers'] };
}

/** Caller's name → sha256 of its token. */
export type ServiceTokens = ReadonlyMap<string, Buffer>;

/** Reads `name:sha256hex,name:sha256hex`. Throws on anything else. */
export function parseServiceTokens(text: string): ServiceTokens {
  const tokens = new Map<string, Buffer>();
  for (const pair of text.split(',')) {
    const parts = /^\s*([a-z0-9-]{1,64}):([0-9a-f]{64})\s*$/.exec(pair);
    if (parts === null || tokens.has(String(parts[1])))
      throw new Error('service tokens are name:sha256hex, separated by commas, each name once');
    tokens.set(String(parts[1]), Buffer.from(String(parts[2]), 'hex'));
  }
  return tokens;
}

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly services: readonly GrpcService[];
  readonly tokens: ServiceTokens;
  readonly log: Log;
  /** Both sides show certificates; a caller's common name must be its token's. */
  readonly tls?: TlsIdentity | undefined;
  /** Answers grpc.health.v1.Health/Check, without a token. */
  readonly health?: Health;
}

export interface GrpcServer extends AsyncDisposable {
  readonly port: number;
}

/** Serves until disposed: then calls under way may finish within grpcDrainMsMax. Rejects when the port is taken. */
export async function serveGrpc(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': limits.grpcMessageBytesMax,
    'grpc.max_send_message_length': limits.grpcMessageBytesMax,
    // The clients' keepalive is more frequent than the default allows, which would answer with GOAWAY too_many_pings.
    'grpc.http2.min_ping_interval_without_data_ms': 1_000,
  } as grpc.ServerOptions);
  for (const service of options.services) {
    const table: grpc.UntypedServiceImplementation = {};
    for (const [name, handler] of Object.entries(service.handlers)) table[name] = unary(handler, options);
    server.addService(service.definition, table);
  }
  if (options.health !== undefined) {
    const names = options.services.map((service) => Object.values(service.definition)[0]?.path.split('/')[1] ?? '');
    const health = healthService(options.health, names);
    server.addService(health.definition, health.implementation);
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${options.host}:${options.port}`, serverCredentials(options.tls), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, [Symbol.asyncDispose]: () => shutDown(server) };
}

function unary(
  handler: (request: unknown, caller: Caller) => Promise<unknown>,
  options: GrpcServerOptions,
): grpc.handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const gaveUp = new AbortController();
    call.on('cancelled', () => gaveUp.abort(new Error('the caller gave up')));
    const answer = async (): Promise<unknown> => {
      const name = callerName(call.metadata, options.tokens);
      if (name === undefined) throw new WeftError('token_invalid', 'service token');
      // A token that was stolen is of no use without the key of its owner.
      if (options.tls && certifiedName(call) !== name) throw new WeftError('token_invalid', `the certificate is not that of ${name}`);
      return handler(call.request, { name, signal: gaveUp.signal });
    };
    answer().then(
      (response) => callback(null, response),
      (error: unknown) => {
        if (!(error instanceof WeftError)) options.log.error({ err: error, method: call.getPath() }, 'a gRPC handler failed');
        callback(toStatus(error));
      },
    );
  };
}

/** Compares with every token, so that the time taken says nothing about which one was near. */
const callerName = (metadata: grpc.Metadata, tokens: ServiceTokens): string | undefined =>
  tokenName(metadata.get('authorization')[0], tokens);

/** Whose token an `authorization` header carries. */
export function tokenName(value: unknown, tokens: ServiceTokens): string | undefined {
  if (typeof value !== 'string' || !value.startsWith('Bearer ')) return undefined;
  const given = createHash('sha256').update(value.slice('Bearer '.length)).digest();
  let found: string | undefined;
  for (const [name, expected] of tokens) {
    if (timingSafeEqual(given, expected)) found = name;
  }
  return found;
}

/** Calls under way may finish; after grpcDrainMsMax every connection is cut. */
function shutDown(server: grpc.Server): Promise<void> {
  return new Promise((resolve) => {
    const end = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, limits.grpcDrainMsMax);
    server.tryShutdown(() => {
      clearTimeout(end);
      resolve();
    });
  });
}

export interface CallOptions {
  /** Milliseconds until the call is given up; default grpcDeadlineMs. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface ChannelOptions {
  /** Milliseconds after which a connection that is being opened is given up; default grpcConnectMsMax. */
  readonly connectMsMax?: number;
  readonly tls?: TlsIdentity | undefined;
}

/** A channel to `address` (host:port) that shows `token` with every call. */
export function grpcChannel(address: string, token: string, options: ChannelOptions = {}): GrpcChannel {
  return new GrpcChannel(address, token, options);
}

/** A connection to one server, opened by the first call and again whenever needed. */
export class GrpcChannel implements Disposable {
  readonly #address: string;
  readonly #metadata = new grpc.Metadata();
  readonly #connectMsMax: number;
  readonly #tls: TlsIdentity | undefined;
  #client: grpc.Client;
  #connectingSinceMs: number | undefined;

  constructor(address: string, token: string, options: ChannelOptions) {
    this.#address = address;
    this.#metadata.set('authorization', `Bearer ${token}`);
    this.#connectMsMax = options.connectMsMax ?? limits.grpcConnectMsMax;
    this.#tls = options.tls;
    this.#client = openClient(address, options.tls);
  }

  /** Rejects with a WeftError: the server's own fault, or `directory_away` when there was no answer in time (the call may have been done). */
  call<Request, Response>(method: UnaryMethod<Request, Response>, request: Request, options: CallOptions = {}): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted === true) {
        reject(options.signal.reason);
        return;
      }
      const onAbort = (): void => call.cancel();
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.#metadata,
        { deadline: Date.now() + (options.deadlineMs ?? limits.grpcDeadlineMs) },
        (error, response) => {
          options.signal?.removeEventListener('abort', onAbort);
          if (error !== null) this.#lookAtConnection();
          if (options.signal?.aborted === true) reject(options.signal.reason);
          else if (error !== null) reject(fromStatus(error));
          else resolve(response as Response);
        },
      );
      options.signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  // grpc-js 1.14 waits without end for the first SETTINGS of a server that accepted the connection (a frozen process, a partition at that
  // moment), and every call meanwhile ends at its deadline. Seen in tests/runtime-grpc.test.ts.
  #lookAtConnection(): void {
    if (this.#client.getChannel().getConnectivityState(false) !== grpc.connectivityState.CONNECTING) {
      this.#connectingSinceMs = undefined;
      return;
    }
    this.#connectingSinceMs ??= performance.now();
    if (performance.now() - this.#connectingSinceMs < this.#connectMsMax) return;
    this.#connectingSinceMs = undefined;
    this.#client.close();
    this.#client = openClient(this.#address, this.#tls);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function openClient(address: string, tls: TlsIdentity | undefined): grpc.Client {
  return new grpc.Client(address, clientCredentials(tls), {
    ...(tls === undefined ? {} : { 'grpc.ssl_target_name_override': directoryTlsName }),
    'grpc.keepalive_time_ms': limits.keepAliveMs,
    'grpc.keepalive_timeout_ms': limits.grpcKeepAliveAnswerMsMax,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.initial_reconnect_backoff_ms': limits.grpcBackOffMs,
    'grpc.max_reconnect_backoff_ms': limits.grpcBackOffMsMax,
    'grpc.max_receive_message_length': limits.grpcMessageBytesMax,
    'grpc.max_send_message_length': limits.grpcMessageBytesMax,
    // Channels to one address are otherwise shared in the process, and closing one would not close its connection.
    'grpc.use_local_subchannel_pool': 1,
    // A retried call could be done twice without its caller knowing; retries are the caller's.
    'grpc.enable_retries': 0,
  });
}
