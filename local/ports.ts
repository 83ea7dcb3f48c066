// Free ports on loopback: single ones for a test's server, whole ranges for a test's fabric.
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loopback, portBaseDefault, portsPerFabric } from './defaults.ts';
import { limits } from './limits.ts';

// All below 32768, where Linux begins to take ports for outgoing connections.
const singles = { from: 10_000, to: 12_999 } as const;
const ranges = { from: 13_000, to: 32_000 } as const;

/** Does anything listen on this port? */
export const portAnswers = (port: number, host = loopback): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

const portIsFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, loopback, () => server.close(() => resolve(true)));
  });

/** A port nobody listens on. Somebody may take it before you do: start again on another one then. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < limits.portTriesMax; tries++) {
    const port = singles.from + Math.floor(Math.random() * (singles.to - singles.from));
    if (await portIsFree(port)) return port;
  }
  throw new Error(`no free port between ${singles.from} and ${singles.to}`);
}

/** The first of a range of ports that no other fabric of this machine uses, for as long as this process lives. */
export async function freePortBase(): Promise<number> {
  for (let tries = 0; tries < limits.portTriesMax; tries++) {
    const slots = Math.floor((ranges.to - ranges.from) / portsPerFabric);
    const base = ranges.from + portsPerFabric * Math.floor(Math.random() * slots);
    const isDefault = base > portBaseDefault - portsPerFabric && base < portBaseDefault + portsPerFabric;
    if (isDefault || !reserve(base)) continue;
    const free = await Promise.all(Array.from({ length: portsPerFabric }, (_, at) => portIsFree(base + at)));
    if (free.every(Boolean)) return base;
  }
  throw new Error(`no ${portsPerFabric} free ports in a row between ${ranges.from} and ${ranges.to}`);
}

/** A file with our pid keeps two test runs that look at the same moment from taking the same range. */
function reserve(base: number): boolean {
  const file = join(tmpdir(), `weft-ports-${base}.pid`);
  for (let again = 0; again < 2; again++) {
    try {
      const handle = openSync(file, 'wx');
      writeSync(handle, String(process.pid));
      closeSync(handle);
      return true;
    } catch {
      if (holderLives(file)) return false;
      rmSync(file, { force: true });
    }
  }
  return false;
}

function holderLives(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // Ours: an earlier fabric of this process may still use it, and its ports are looked at next.
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
