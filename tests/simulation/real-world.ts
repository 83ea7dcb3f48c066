// Nothing in a simulation may touch the real clock, chance, timers or sockets: whoever does while this holds, fails.
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import timers from 'node:timers';

type Owner = Record<string, unknown>;

export class RealWorldTouched extends Error {
  override readonly name = 'RealWorldTouched';
}

const touched = (what: string) => (): never => {
  throw new RealWorldTouched(`${what} was used inside a simulation`);
};

/** A Date that tells no time of its own: those made from a number are values like any other. */
class TimelessDate extends Date {
  constructor(...args: unknown[]) {
    if (args.length === 0) touched('new Date()')();
    super(...(args as [number]));
  }

  static override now(): number {
    return touched('Date.now')();
  }
}

const globals: readonly (readonly [owner: object, name: string, what: string])[] = [
  [Math, 'random', 'Math.random'],
  [performance, 'now', 'performance.now'],
  [globalThis, 'setTimeout', 'setTimeout'],
  [globalThis, 'setInterval', 'setInterval'],
  [globalThis, 'setImmediate', 'setImmediate'],
  [globalThis, 'fetch', 'fetch'],
  [globalThis, 'WebSocket', 'WebSocket'],
  [AbortSignal, 'timeout', 'AbortSignal.timeout'],
  [globalThis.crypto, 'getRandomValues', 'crypto.getRandomValues'],
  [globalThis.crypto, 'randomUUID', 'crypto.randomUUID'],
  [process, 'hrtime', 'process.hrtime'],
];

const builtins: readonly (readonly [owner: object, name: string, what: string])[] = [
  [crypto, 'randomBytes', 'node:crypto randomBytes'],
  [crypto, 'randomFillSync', 'node:crypto randomFillSync'],
  [crypto, 'randomUUID', 'node:crypto randomUUID'],
  [crypto, 'randomInt', 'node:crypto randomInt'],
  [timers, 'setTimeout', 'node:timers setTimeout'],
  [timers, 'setInterval', 'node:timers setInterval'],
  [timers, 'setImmediate', 'node:timers setImmediate'],
  [net, 'connect', 'node:net connect'],
  [net, 'createConnection', 'node:net createConnection'],
  [net, 'createServer', 'node:net createServer'],
];

/** Until it is disposed. Builtin modules too: named imports of them follow. */
export function forbidRealWorld(): Disposable {
  const undo: (() => void)[] = [];
  const put = (owner: object, name: string, value: unknown): void => {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { value, configurable: true, writable: true, enumerable: before?.enumerable ?? false });
    undo.push(() => {
      if (before) Object.defineProperty(owner, name, before);
      else delete (owner as Owner)[name];
    });
  };
  put(globalThis, 'Date', TimelessDate);
  for (const [owner, name, what] of [...globals, ...builtins]) put(owner, name, touched(what));
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      for (const back of undo.reverse()) back();
      syncBuiltinESMExports();
    },
  };
}
