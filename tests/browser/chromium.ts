// A headless Chromium and one page in it, driven by the Chrome DevTools Protocol over a WebSocket.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { machineEnvironment } from '@weft/local/defaults.ts';
import { WebSocket } from 'ws';
import { until } from '../until.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const startMsMax = 30_000;
/** A call into the page answers within this. */
const callMsMax = 60_000;

/** Path of a Chromium: WEFT_CHROMIUM, or the first found in PATH. */
export function findChromium(): string | undefined {
  const { WEFT_CHROMIUM: named, PATH: path = '' } = machineEnvironment();
  if (named) return named;
  const folders = path.split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

interface Answer {
  readonly id?: number;
  readonly error?: { readonly message: string };
  readonly result?: { readonly result?: { readonly value?: unknown }; readonly exceptionDetails?: unknown };
}

export class Page implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #open = new Map<number, (answer: Answer) => void>();
  #calls = 0;

  private constructor(browser: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = browser;
    this.#profile = profile;
    this.#socket = socket;
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      if (answer.id === undefined) return;
      this.#open.get(answer.id)?.(answer);
      this.#open.delete(answer.id);
    });
  }

  /** A browser with a profile of its own. */
  static async open(chromium: string, url: string): Promise<Page> {
    const profile = mkdtempSync(join(tmpdir(), 'weft-browser-'));
    // Its sandbox needs rights a container does not give; it sees nothing but our own pages.
    const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-port=0'];
    const browser = spawn(chromium, [...args, `--user-data-dir=${profile}`, url], { stdio: 'ignore' });
    try {
      const portFile = join(profile, 'DevToolsActivePort');
      await until('the browser listens', () => existsSync(portFile) && readFileSync(portFile, 'utf8').includes('\n'), startMsMax);
      const port = readFileSync(portFile, 'utf8').split('\n')[0];
      let address: string | undefined;
      const look = async (): Promise<boolean> => {
        const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
        const targets = (await answer.json()) as { type: string; url: string; webSocketDebuggerUrl: string }[];
        address = targets.find((target) => target.type === 'page' && target.url.startsWith(url))?.webSocketDebuggerUrl;
        return address !== undefined;
      };
      await until('the page is there', look, startMsMax);
      const socket = new WebSocket(address as string);
      await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
      return new Page(browser, profile, socket);
    } catch (error) {
      browser.kill('SIGKILL');
      rmSync(profile, { recursive: true, force: true });
      throw error;
    }
  }

  /** The value of an expression in the page, awaited; rejects with what the page threw. */
  async run(expression: string): Promise<unknown> {
    const answer = await this.#call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (answer.error) throw new Error(answer.error.message);
    if (answer.result?.exceptionDetails) throw new Error(JSON.stringify(answer.result.exceptionDetails));
    return answer.result?.result?.value;
  }

  /** Loads the page again: all that lived in its memory is gone. */
  async reload(): Promise<void> {
    await this.#call('Page.reload', {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#socket.terminate();
    this.#process.kill('SIGKILL');
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  #call(method: string, params: object): Promise<Answer> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer within ${callMsMax} ms`)), callMsMax);
      this.#open.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
