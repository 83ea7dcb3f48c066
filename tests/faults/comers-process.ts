// The process behind comers.ts.

import { inParallel } from '@weft/local/in-parallel.ts';
import { RawSocket } from '@weft/local/raw-socket.ts';
import { ClientFrame, ServerFrame, type Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import type { Came, ComersAnswer, ComersTask } from './comers.ts';

/** Milliseconds after which a connection that was not even taken is tried again. */
const refusedMs = 100;

class Comer {
  readonly #url: string;
  readonly #device: string;
  readonly #token: string;
  #socket: RawSocket | undefined;
  #welcome: Welcome | undefined;
  /** Times it was told to come later. */
  waits = 0;

  constructor(url: string, device: string, token: string) {
    this.#url = url;
    this.#device = device;
    this.#token = token;
  }

  /** Comes (back) until it is welcome, at the times it is told. */
  async come(): Promise<void> {
    for (;;) {
      const afterMs = await this.#try();
      if (afterMs === 0) return;
      this.waits += 1;
      await systemClock.sleep(afterMs);
    }
  }

  cut(): void {
    this.#socket?.cut();
  }

  /** 0 when welcome, else the milliseconds to wait. */
  #try(): Promise<number> {
    return new Promise((resolve, reject) => {
      const message = (bytes: Buffer, start: number, end: number): void => {
        const { event } = ServerFrame.decode(bytes.subarray(start, end));
        if (event?.$case === 'welcome') {
          this.#welcome = event.value;
          resolve(0);
        } else if (event?.$case === 'fault' && event.value.retry === 'RETRY_LATER') resolve(Math.max(1, event.value.afterMs));
        else if (event?.$case === 'fault' || event?.$case === 'redirect')
          reject(new Error(`instead of a welcome: ${JSON.stringify(event.value)}`));
      };
      RawSocket.open(this.#url, { message, closed: () => resolve(refusedMs) }).then(
        (socket) => {
          this.#socket = socket;
          const resume = this.#welcome && { cursor: this.#welcome.cursor, digest: this.#welcome.digest };
          const hello = { token: this.#token, device: this.#device, agent: 'weft-storm', resume, openedAt: 0n };
          socket.send(ClientFrame.encode({ id: 1n, request: { $case: 'hello', value: hello } }).finish());
        },
        () => resolve(refusedMs),
      );
    });
  }
}

let comers: readonly Comer[] = [];

async function perform(task: ComersTask): Promise<Came> {
  if (task.task === 'meet') {
    comers = task.tokens.map((token) => new Comer(task.url, task.device, token));
    return { ms: 0, waits: 0 };
  }
  const those = comers.slice(0, task.count);
  const waitsOf = (): number => those.reduce((sum, { waits }) => sum + waits, 0);
  const [startMs, waitsBefore] = [performance.now(), waitsOf()];
  if (task.atOnce >= those.length) for (const comer of those) comer.cut();
  await inParallel(those, task.atOnce, (comer) => {
    comer.cut();
    return comer.come();
  });
  return { ms: performance.now() - startMs, waits: waitsOf() - waitsBefore };
}

process.on('message', (task: ComersTask) => {
  const answer = (text: ComersAnswer): void => void process.send?.(text);
  perform(task).then(
    (came) => answer({ came }),
    (error: unknown) => answer({ failed: String(error) }),
  );
});
// Whoever started it ends it: a Ctrl-C of the terminal reaches both.
process.on('SIGINT', () => undefined);
process.once('disconnect', () => process.exit(0));
