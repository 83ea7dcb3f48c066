// One network namespace for each part of a fabric, joined by a bridge in ours, where the clients are. Parts are "eu-1",
// "hub-eu", "router-eu", "control-plane"; "clients" is us. What is dropped is dropped silently, as a broken link drops it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Place } from '@weft/local/plan.ts';

const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: commandMsMax });
const commandMsMax = 10_000;
const slotsMax = 200;

export interface SlowLink {
  readonly delayMs: number;
  readonly jitterMs: number;
  /** Shares of the packets. */
  readonly loss: number;
  readonly duplicate: number;
  readonly seed: number;
}

export class Network implements AsyncDisposable {
  readonly #slot: number;
  readonly #parts: readonly string[];
  readonly #pumps = new Set<ChildProcess>();

  /** Clears away what a killed run left, and makes the namespaces. */
  static open(parts: readonly string[]): Network {
    clearLeftovers();
    const slot = freeSlot();
    const network = new Network(slot, parts);
    try {
      network.#make();
    } catch (error) {
      network.#remove();
      throw error;
    }
    return network;
  }

  private constructor(slot: number, parts: readonly string[]) {
    this.#slot = slot;
    this.#parts = parts;
  }

  placeOf(named: string): Place {
    // A cell's servers are beside its nodes.
    const part = named.replace(/^store-/, '');
    return { host: this.host(part), netns: this.#netns(part) };
  }

  /** Address of a part; of us for "clients". */
  host(part: string): string {
    return `10.87.${this.#slot}.${part === 'clients' ? 1 : 11 + this.#index(part)}`;
  }

  /** A second address of ours, for clients that are to be told apart. */
  addClientAddress(last: number): string {
    const address = `10.87.${this.#slot}.${last}`;
    if (!run('ip', 'addr', 'show', 'dev', this.#bridge).includes(`${address}/`))
      run('ip', 'addr', 'add', `${address}/24`, 'dev', this.#bridge);
    return address;
  }

  /** Nothing passes from one part to the other any more. */
  dropOneWay(from: string, to: string): void {
    this.#rule(
      to === 'clients' ? from : to,
      to === 'clients' ? `out ip daddr ${this.host(to)} drop` : `in ip saddr ${this.host(from)} drop`,
    );
  }

  drop(a: string, b: string): void {
    this.dropOneWay(a, b);
    this.dropOneWay(b, a);
  }

  /** Inside a part nothing reaches this port of its own any more. */
  dropPort(part: string, port: number): void {
    this.#rule(part, `in tcp dport ${port} drop`);
  }

  /** Drops both ways between a part and one address of ours. */
  dropAddress(part: string, address: string): void {
    this.#rule(part, `in ip saddr ${address} drop`);
    this.#rule(part, `out ip daddr ${address} drop`);
  }

  /** What a part sends to one address of ours is held to so many kilobytes a second. */
  limitAddress(part: string, address: string, kilobytes: number): void {
    this.#rule(part, `out ip daddr ${address} limit rate over ${kilobytes} kbytes/second burst ${kilobytes} kbytes drop`);
  }

  /** Every rule of these parts is gone. */
  pass(...parts: readonly string[]): void {
    for (const part of parts) {
      tryRun('nsenter', `--net=/run/netns/${this.#netns(part)}`, '--', 'nft', 'delete', 'table', 'inet', 'weft');
      this.#table(part);
    }
  }

  passAll(): void {
    this.pass(...this.#parts);
  }

  /** Packets between two parts go through a slow, lossy pump until the result is disposed. */
  async slow(a: string, b: string, link: SlowLink): Promise<AsyncDisposable> {
    const script = fileURLToPath(new URL('pump.py', import.meta.url));
    const shape = [link.delayMs, link.jitterMs, link.loss, link.duplicate, link.seed].map(String);
    const args = [script, this.#netns(a), this.host(a), this.#netns(b), this.host(b), ...shape];
    const pump = spawn('setpriv', ['--pdeathsig', 'KILL', 'python3', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#pumps.add(pump);
    const died = once(pump, 'exit').then(() => {
      throw new Error(`the pump between ${a} and ${b} ended`);
    });
    died.catch(() => undefined);
    await Promise.race([once(pump.stdout, 'data'), died]);
    return { [Symbol.asyncDispose]: () => this.#stop(pump) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pumps].map((pump) => this.#stop(pump)));
    this.#remove();
  }

  async #stop(pump: ChildProcess): Promise<void> {
    this.#pumps.delete(pump);
    if (pump.exitCode !== null || pump.signalCode !== null) return;
    const ended = once(pump, 'exit');
    pump.kill('SIGKILL');
    await ended;
  }

  #make(): void {
    run('ip', 'link', 'add', this.#bridge, 'type', 'bridge');
    run('ip', 'addr', 'add', `${this.host('clients')}/24`, 'dev', this.#bridge);
    run('ip', 'link', 'set', this.#bridge, 'up');
    for (const part of this.#parts) {
      const [netns, outer, inner] = [this.#netns(part), `wf${this.#slot}v${this.#index(part)}`, 'eth0'];
      run('ip', 'netns', 'add', netns);
      run('ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', netns);
      run('ip', 'link', 'set', outer, 'master', this.#bridge, 'up');
      run('ip', '-n', netns, 'addr', 'add', `${this.host(part)}/24`, 'dev', inner);
      run('ip', '-n', netns, 'link', 'set', inner, 'up');
      run('ip', '-n', netns, 'link', 'set', 'lo', 'up');
      this.#table(part);
    }
  }

  #remove(): void {
    for (const part of this.#parts) tryRun('ip', 'netns', 'del', this.#netns(part));
    tryRun('ip', 'link', 'del', this.#bridge);
  }

  /** Without nft the namespaces still stand; what needs it is skipped. */
  #table(part: string): void {
    if (!tryRun('nsenter', `--net=/run/netns/${this.#netns(part)}`, '--', 'nft', 'add', 'table', 'inet', 'weft')) return;
    for (const [chain, hook] of [
      ['in', 'input'],
      ['out', 'output'],
    ] as const)
      this.#nft(part, 'add', 'chain', 'inet', 'weft', chain, `{ type filter hook ${hook} priority 0 ; }`);
  }

  #rule(part: string, rule: string): void {
    this.#nft(part, 'add', 'rule', 'inet', 'weft', ...rule.split(' '));
  }

  #nft(part: string, ...args: readonly string[]): void {
    run('nsenter', `--net=/run/netns/${this.#netns(part)}`, '--', 'nft', ...args);
  }

  get #bridge(): string {
    return `wf${this.#slot}`;
  }

  #netns(part: string): string {
    return `weft-${this.#slot}-${process.pid}-${part}`;
  }

  #index(part: string): number {
    const index = this.#parts.indexOf(part);
    if (index < 0) throw new Error(`there is no part ${part}; there are ${this.#parts.join(', ')}`);
    return index;
  }
}

function tryRun(program: string, ...args: readonly string[]): boolean {
  try {
    run(program, ...args);
    return true;
  } catch {
    return false;
  }
}

function freeSlot(): number {
  const links = run('ip', '-o', 'link', 'show', 'type', 'bridge');
  const first = process.pid % slotsMax;
  for (let n = 0; n < slotsMax; n++) {
    const slot = 1 + ((first + n) % slotsMax);
    if (!links.includes(` wf${slot}:`)) return slot;
  }
  throw new Error('every network of this kind is in use');
}

/** Namespaces and bridges of runs whose process is gone. */
export function clearLeftovers(): void {
  for (const netns of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
    const [, slot, pid] = /^weft-(\d+)-(\d+)-/.exec(netns) ?? [];
    if (slot === undefined || pid === undefined || isAlive(Number(pid))) continue;
    tryRun('ip', 'netns', 'del', netns);
    tryRun('ip', 'link', 'del', `wf${slot}`);
  }
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}
