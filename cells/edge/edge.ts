// The WebSocket door: upgrades on /v1/socket, the live sockets, their heartbeats and checks, and the drain.
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Writable } from 'node:stream';
import { faults } from '@weft/proto/faults.ts';
import { limits } from '@weft/proto/limits.ts';
import { traceOf } from '@weft/runtime/trace.ts';
import { WebSocketServer } from 'ws';
import { cellLimits } from '../limits.ts';
import { Seldom } from '../seldom.ts';
import { ClientSocket, type ServerSocket } from './client-socket.ts';
import { codecFor, jsonCodec, protoCodec } from './codec.ts';
import type { EdgeServices } from './edge-services.ts';
import { type OutSocket, WriteGatherer } from './outbound.ts';

export const socketPath = '/v1/socket';

export interface EdgeOptions {
  readonly services: EdgeServices;
  readonly heartbeatMs: number;
  readonly socketsPerAddressMax: number;
  /** Whether new sockets may come now. */
  readonly ready: () => boolean;
}

export class Edge implements AsyncDisposable {
  readonly #options: EdgeOptions;
  readonly #server: WebSocketServer;
  readonly #gatherer = new WriteGatherer();
  readonly #sockets = new Set<ClientSocket>();
  readonly #alive = new WeakSet<ClientSocket>();
  readonly #addresses = new Map<string, number>();
  /** Sockets that were refused, by why: who is refused comes again. */
  readonly #refused: Seldom;
  readonly #ticker: Disposable;
  #leaving = false;
  #second = 0;

  constructor(options: EdgeOptions) {
    this.#options = options;
    const { clock, log } = options.services;
    this.#refused = new Seldom({ clock, write: (said) => log.warn(said, 'sockets were refused') });
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: limits.frameBytesMax,
      handleProtocols: (offered) => [protoCodec.subprotocol, jsonCodec.subprotocol].find((name) => offered.has(name)) ?? false,
    });
    this.#ticker = options.services.clock.every(1_000, () => this.#tick());
  }

  get size(): number {
    return this.#sockets.size;
  }

  sockets(): Iterable<ClientSocket> {
    return this.#sockets;
  }

  /** Takes the upgrades of an HTTP server. */
  listenTo(server: Server): void {
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Not a closure of this function: it would keep the request and its headers for as long as the socket lives.
    socket.on('error', destroy);
    const refusal = this.#refusal(request);
    if (refusal) {
      this.#countRefused(refusal);
      socket.end(`HTTP/1.1 ${refusal} \r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      endOnce(ws);
      this.admit(ws, socket as Socket, traceOf(request.headers.traceparent));
    });
  }

  #refusal(request: IncomingMessage): string | undefined {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== socketPath) return '404 Not Found';
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (!offered.some((name) => codecFor(name))) return '400 Unknown Subprotocol';
    if (this.#leaving || !this.#options.ready()) return `${faults.not_ready.http} Not Ready`;
    if ((this.#addresses.get(addressOf(request.socket)) ?? 0) >= this.#options.socketsPerAddressMax) return '429 Too Many Sockets';
    return undefined;
  }

  /** A client sees no more of a refusal than that no socket came about, so the node tells it. */
  #countRefused(refusal: string): void {
    this.#options.services.metrics.socketsRefused.inc({ status: refusal.slice(0, 3) });
    this.#refused.say({ refusal });
  }

  /** Takes a socket that was upgraded. `trace` names it in log lines. */
  admit(ws: ServerSocket, socket: OutSocket & Pick<Socket, 'setNoDelay' | 'remoteAddress'>, trace: string): void {
    const codec = codecFor(ws.protocol);
    if (!codec) return ws.terminate();
    socket.setNoDelay(true);
    const address = addressOf(socket);
    this.#addresses.set(address, (this.#addresses.get(address) ?? 0) + 1);
    const client = new ClientSocket({ ws, socket, codec, gatherer: this.#gatherer, services: this.#options.services, trace });
    this.#sockets.add(client);
    this.#alive.add(client);
    ws.on('pong', () => this.#alive.add(client));
    ws.on('close', () => {
      this.#sockets.delete(client);
      const left = (this.#addresses.get(address) ?? 1) - 1;
      if (left > 0) this.#addresses.set(address, left);
      else this.#addresses.delete(address);
    });
  }

  /** Each socket has its heartbeat in its own second, so that they do not come at once. */
  #tick(): void {
    const now = this.#options.services.clock.now();
    const period = Math.max(1, Math.round(this.#options.heartbeatMs / 1_000));
    this.#second = (this.#second + 1) % period;
    for (const client of this.#sockets) {
      client.check(now);
      if (Math.floor(client.openedMs / 1_000) % period !== this.#second) continue;
      if (!this.#alive.has(client)) {
        client.terminate();
        continue;
      }
      this.#alive.delete(client);
      client.heartbeat(now);
      client.ping();
    }
  }

  /** No more sockets; those that are here are told where to go, spread over a while. */
  leave(url: string): void {
    this.#leaving = true;
    for (const client of this.#sockets) {
      client.answer(0, {
        $case: 'leaving',
        value: { afterMs: Math.floor(this.#options.services.random.next() * cellLimits.leaveSpreadMsMax), url },
      });
    }
    this.#options.services.clock.timer(0, () => {
      for (const client of this.#sockets) client.close('goingAway');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ticker[Symbol.dispose]();
    this.#refused[Symbol.dispose]();
    for (const client of this.#sockets) client.terminate();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const addressOf = (socket: Pick<Socket, 'remoteAddress'>): string => socket.remoteAddress ?? '';

function destroy(this: Duplex): void {
  this.destroy();
}

/**
 * `ws` ends its receiver when the other side ends and again when the socket closes; of the second Node makes an error with its
 * stack, which nobody sees: a fifth of what a cut socket costs. Does nothing where `ws` has no such receiver.
 */
export function endOnce(ws: object): void {
  const receiver = (ws as { readonly _receiver?: unknown })._receiver;
  if (receiver instanceof Writable) receiver.end = endUnlessEnded;
}

const end: (this: Writable) => Writable = Writable.prototype.end;

function endUnlessEnded(this: Writable): Writable {
  return this.writableEnded ? this : end.call(this);
}
