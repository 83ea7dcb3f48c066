// One canary: an ordinary user of one cell, signed up once, who speaks through the SDK like anybody else.
import type { Conversation } from '@weft/client/conversation.ts';
import { Weft } from '@weft/client/weft.ts';
import { WeftError } from '@weft/proto/faults.ts';
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';

export interface CanaryUserOptions {
  readonly fabric: FabricFile;
  readonly cell: string;
  readonly password: string;
  readonly signal: AbortSignal;
}

export class CanaryUser implements AsyncDisposable {
  readonly handle: string;
  readonly #weft: Weft;
  readonly #conversations = new Map<string, Promise<Conversation>>();

  /** Logs in, after signing up in this very cell when it is the first time. Throws WeftError, or an Error when nobody answers. */
  static async open(options: CanaryUserOptions): Promise<CanaryUser> {
    const { fabric, password } = options;
    const cell = fabric.cells.find(({ name }) => name === options.cell);
    const router = fabric.regions.find(({ name }) => name === cell?.region)?.router;
    if (cell === undefined || router === undefined) throw new Error(`there is no cell ${options.cell}`);
    const who = { handle: `canary-${cell.name}`, password, device: 'canary' };
    const logIn = (): Promise<Weft> => Weft.logIn({ router, ...who });
    try {
      return new CanaryUser(who.handle, await logIn());
    } catch (error) {
      if (!(error instanceof WeftError) || (error.code !== 'unknown_user' && error.code !== 'login_failed')) throw error;
    }
    // At the cell's own door: the router would place the account where there is room.
    await signUp(cell.urls[0] ?? '', who, options.signal);
    return new CanaryUser(who.handle, await logIn());
  }

  private constructor(handle: string, weft: Weft) {
    this.handle = handle;
    this.#weft = weft;
  }

  /** Calls `shown` for each message of the other one from now on. */
  async hear(from: string, shown: (text: string) => void): Promise<void> {
    const conversation = await this.#with(from);
    conversation.subscribe((entry) => shown(entry.text));
  }

  /** Settles when the message has its place in the log. Rejects with WeftError when it never will. */
  async say(to: string, text: string): Promise<void> {
    const conversation = await this.#with(to);
    await conversation.send(text).accepted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#weft[Symbol.asyncDispose]();
  }

  #with(handle: string): Promise<Conversation> {
    let conversation = this.#conversations.get(handle);
    if (conversation === undefined) {
      conversation = this.#weft.openDirect(handle);
      this.#conversations.set(handle, conversation);
      // A look-up that failed is tried again with the next message.
      conversation.catch(() => this.#conversations.delete(handle));
    }
    return conversation;
  }
}

async function signUp(url: string, who: { handle: string; password: string; device: string }, signal: AbortSignal): Promise<void> {
  const answer = await fetch(`${url}/v1/accounts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(who),
    signal: AbortSignal.any([signal, AbortSignal.timeout(limits.canaryAskMsMax)]),
  });
  if (!answer.ok)
    throw new Error(`sign-up of ${who.handle}: ${answer.status} ${(await answer.text()).slice(0, limits.canaryAnswerCharsMax)}`);
}
