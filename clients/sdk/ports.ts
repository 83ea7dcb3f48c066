// What the SDK needs from its surroundings. The defaults use what browsers and Node 24 both have.

import type { Sha256 } from '@weft/proto/chain.ts';

import type { OutboxStore } from './outbox-store.ts';
import type { SessionStore } from './session-store.ts';

export interface Socket {
  /** Queues one message. Never throws on a closed socket. */
  send(data: Uint8Array | string): void;
  /** Closes, or abandons, the socket. `closed` may still be called. */
  close(code?: number): void;
}

export interface SocketHandlers {
  opened(): void;
  message(data: Uint8Array | string): void;
  /** At most once; nothing comes after it. 1006 when the other side did not say why. */
  closed(code: number): void;
}

export type SocketFactory = (url: string, protocol: string, handlers: SocketHandlers) => Socket;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** Parsed JSON; undefined when there was none. */
  readonly body: unknown;
}

/** Rejects only when no answer came. */
export type Http = (request: HttpRequest) => Promise<HttpAnswer>;

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. */
  now(): number;
  /** Milliseconds from an arbitrary start; never runs backwards. */
  monotonic(): number;
  /** Calls `fn` once after `ms`; the result cancels. */
  timer(ms: number, fn: () => void): () => void;
}

export interface Random {
  /** 0 ≤ x < 1. */
  next(): number;
}

export interface Ports {
  readonly socket: SocketFactory;
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly outbox: OutboxStore;
  readonly session: SessionStore;
  /** Portable by default; sha256-node.ts is faster in Node. */
  readonly sha256: Sha256;
  /** Ed25519 (RFC 8032), by Web Crypto by default. */
  readonly verify: Verify;
}

/** Whether this raw 32-byte key signed these bytes. Rejects where the platform cannot tell. */
export type Verify = (key: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => Promise<boolean>;

/** The part of a WebSocket class that is used: the browser's, Node's, or that of the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(data: Uint8Array<ArrayBuffer> | string): void;
  close(code?: number): void;
}

const socketOpen = 1;
const noReason = 1006;

/** A socket factory over any WebSocket class. */
export function socketsFrom(WebSocketClass: new (url: string, protocol: string) => WebSocketLike): SocketFactory {
  return (url, protocol, handlers) => {
    const socket = new WebSocketClass(url, protocol);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => handlers.opened();
    socket.onmessage = ({ data }: { data: ArrayBuffer | string }) =>
      handlers.message(typeof data === 'string' ? data : new Uint8Array(data));
    // A close event always follows; without a listener the package `ws` would throw.
    socket.onerror = () => undefined;
    socket.onclose = ({ code }: { code?: number }) => handlers.closed(code ?? noReason);
    return {
      send: (data) => {
        if (socket.readyState === socketOpen) socket.send(data as Uint8Array<ArrayBuffer> | string);
      },
      close: (code) => socket.close(code),
    };
  };
}

const algorithm = { name: 'Ed25519' } as const;

export const webVerify: Verify = async (key, bytes, signature) => {
  const { subtle } = globalThis.crypto;
  const imported = await subtle.importKey('raw', new Uint8Array(key), algorithm, false, ['verify']);
  return subtle.verify(algorithm, imported, new Uint8Array(signature), new Uint8Array(bytes));
};

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer: (ms, fn) => {
    const handle = setTimeout(fn, ms);
    return () => clearTimeout(handle);
  },
};

/** HTTP over the global `fetch`, JSON both ways. */
export const fetchHttp: Http = async ({ method, url, body, token, signal }) => {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(url, { method, headers, signal, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const text = await answer.text();
  return { status: answer.status, body: parseJson(text) };
};

function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    // A proxy's page: the status says what there is to know.
    return undefined;
  }
}
