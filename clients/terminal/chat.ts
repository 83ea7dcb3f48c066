// What a person sees and can do; everything goes through the SDK.

import type { Conversation } from '@weft/client/conversation.ts';
import type { Entry } from '@weft/client/entry.ts';
import type { ProofReport } from '@weft/client/judge.ts';
import type { MarkInfo, WeftState } from '@weft/client/options.ts';
import type { Sent } from '@weft/client/sent.ts';
import type { Weft } from '@weft/client/weft.ts';
import { WeftError } from '@weft/proto/faults.ts';

import { terminalLimits as limits } from './limits.ts';
import { harmless, type Paint } from './paint.ts';
import { proofLine } from './proof-line.ts';
import type { Screen } from './screen.ts';

interface Own {
  readonly line: number;
  readonly text: string;
  readonly conversation: Conversation;
  seq: number | undefined;
}

const help = [
  '/open HANDLE        write to a person (/open #2: the second of /list)',
  '/group TITLE A B …  a new group',
  '/list               your conversations',
  '/history N          the last N entries',
  '/where              where the last entries are: what to ask the operator',
  '/members  /leave    of this conversation',
  '/quit               anything else is sent',
];

export class Chat {
  readonly #weft: Weft;
  readonly #screen: Screen;
  readonly #paint: Paint;
  readonly #quit: () => void;
  #current: Conversation | undefined;
  #stop: (() => void) | undefined;
  #listed: readonly Conversation[] = [];
  readonly #own = new Map<bigint, Own>();
  /** Lines appear in the order things happened, though names are looked up. */
  #tail: Promise<void> = Promise.resolve();
  #countdown: NodeJS.Timeout | undefined;

  constructor(options: { weft: Weft; screen: Screen; paint: Paint; quit: () => void }) {
    this.#weft = options.weft;
    this.#screen = options.screen;
    this.#paint = options.paint;
    this.#quit = options.quit;
    this.#weft.on('state', () => this.#showState());
    this.#weft.on('entry', (entry, conversation) => this.#arrived(entry, conversation));
    this.#weft.on('sent', (sent) => this.#sentChanged(sent));
    this.#weft.on('givenUp', ({ text }, _, fault) =>
      this.#say(this.#paint.bad(`! taken back for good: ${harmless(text)} (${fault.message})`)),
    );
    this.#weft.on('mark', (mark) => this.#marked(mark));
    this.#weft.on('conversation', (conversation, change) => this.#changed(conversation, change));
    this.#weft.on('proof', (report) => this.#suspected(report));
    this.#weft.on('trouble', (error) => this.#say(this.#paint.bad(`! the outbox could not be written: ${String(error)}`)));
    this.#showState();
  }

  /** One line of input. */
  typed(line: string): void {
    if (line.trim() === '') return;
    if (!line.startsWith('/')) return this.#send(line);
    const [command = '', ...words] = line.trim().slice(1).split(/\s+/);
    this.#then(async () => {
      try {
        await this.#run(command, words);
      } catch (error) {
        this.#screen.print(this.#paint.bad(`! ${error instanceof Error ? error.message : String(error)}`));
      }
    });
  }

  async open(handle: string): Promise<void> {
    await this.#show(await this.#weft.openDirect(handle));
  }

  /** Resolves when everything written is decided, or after drainMsMax. */
  async drained(): Promise<void> {
    const untilMs = Date.now() + limits.drainMsMax;
    await this.#tail;
    const left = (this.#current?.undecided() ?? []).map((sent) => sent.accepted.catch(() => undefined));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, untilMs - Date.now());
    await Promise.race([Promise.all(left), promise]);
    clearTimeout(timer);
    await this.#tail;
  }

  close(): void {
    clearInterval(this.#countdown);
    this.#stop?.();
  }

  async #run(command: string, words: readonly string[]): Promise<void> {
    switch (command) {
      case 'open':
        return this.#open(words[0]);
      case 'group':
        return this.#group(words);
      case 'list':
        return this.#list();
      case 'history':
        return this.#history(Number(words[0] ?? limits.openEntries));
      case 'where':
        return this.#where(Number(words[0] ?? 1));
      case 'members':
        return this.#members();
      case 'leave':
        return this.#leave();
      case 'quit':
        return this.#quit();
      case 'help':
        for (const line of help) this.#screen.print(this.#paint.dim(line));
        return;
      default:
        this.#screen.print(this.#paint.bad(`! /${command} is not a command; /help lists them`));
    }
  }

  async #open(which: string | undefined): Promise<void> {
    if (which === undefined) throw new WeftError('bad_request', '/open HANDLE');
    if (!which.startsWith('#')) return this.open(which);
    const conversation = this.#listed[Number(which.slice(1)) - 1];
    if (conversation === undefined) throw new WeftError('unknown_log', `there is no ${which} in the last /list`);
    return this.#show(conversation);
  }

  async #group([title, ...handles]: readonly string[]): Promise<void> {
    if (title === undefined || handles.length === 0) throw new WeftError('bad_request', '/group TITLE HANDLE …');
    const people = await Promise.all(handles.map((handle) => this.#weft.openDirect(handle)));
    const members = people.flatMap(({ peer }) => (peer === undefined ? [] : [peer]));
    await this.#show(await this.#weft.createGroup(title, members));
  }

  async #list(): Promise<void> {
    const infos = await this.#weft.conversations();
    this.#listed = infos.map(({ conversation }) => conversation);
    if (infos.length === 0) this.#screen.print(this.#paint.dim('no conversation yet; /open HANDLE begins one'));
    for (const [index, { conversation, unread, headSeq }] of infos.entries()) {
      const name = await this.#nameOf(conversation);
      this.#screen.print(`${this.#paint.dim(`#${index + 1}`)} ${this.#paint.person(name)} ${headSeq} entries, ${unread} unread`);
    }
  }

  async #history(count: number): Promise<void> {
    const wanted = Math.min(limits.historyEntriesMax, Math.max(1, count || limits.openEntries));
    for (const entry of await this.#opened().last(wanted)) this.#screen.print(await this.#lineOf(entry));
  }

  /** The ids of the last entries, as `npm run where` takes them. */
  async #where(count: number): Promise<void> {
    const wanted = Math.min(limits.historyEntriesMax, Math.max(1, count || 1));
    for (const entry of await this.#opened().last(wanted))
      this.#screen.print(`${this.#paint.dim(`npm run where -- ${this.#opened().log}:${entry.seq}`)}  ${await this.#lineOf(entry)}`);
    for (const sent of this.#opened().undecided()) this.#screen.print(this.#paint.dim(`npm run where -- ${this.#weft.me}+${sent.id}`));
  }

  async #members(): Promise<void> {
    for (const member of await this.#opened().members()) {
      const name = await this.#weft.nameOf(member.user);
      const seen = member.seen === undefined ? '' : this.#paint.dim(` has seen ${member.seen.seq}`);
      this.#screen.print(`${this.#paint.person(name)}${seen}`);
    }
  }

  async #leave(): Promise<void> {
    await this.#opened().leave();
    this.#stop?.();
    this.#current = undefined;
  }

  #opened(): Conversation {
    if (this.#current === undefined) throw new Error('no conversation is open; /open HANDLE');
    return this.#current;
  }

  async #show(conversation: Conversation): Promise<void> {
    this.#stop?.();
    this.#current = conversation;
    this.#screen.print(this.#paint.dim(`— ${await this.#nameOf(conversation)} —`));
    this.#stop = conversation.subscribe((entry) => this.#then(() => this.#showEntry(entry, conversation)), {
      last: limits.openEntries,
      truncated: (base) => this.#say(this.#paint.bad(`! what came after entry ${base} was taken back`)),
    });
  }

  #send(text: string): void {
    // Behind what was typed before it: it may follow an /open.
    this.#then(async () => {
      try {
        const conversation = this.#opened();
        const sent = conversation.send(text);
        if (!this.#screen.live) return;
        const line = this.#screen.print(this.#ownLine(text, this.#paint.dim('…')));
        this.#own.set(sent.id, { line, text, conversation, seq: undefined });
        const [oldest] = this.#own.keys();
        if (this.#own.size > limits.ownEntriesMax && oldest !== undefined) this.#own.delete(oldest);
      } catch (error) {
        this.#screen.print(this.#paint.bad(`! not sent: ${error instanceof Error ? error.message : String(error)}`));
      }
    });
  }

  /** An entry of the open conversation. */
  async #showEntry(entry: Entry, conversation: Conversation): Promise<void> {
    const own = this.#own.get(entry.id);
    if (own !== undefined && entry.author === this.#weft.me) {
      own.seq = entry.seq;
      return this.#screen.replace(own.line, this.#ownLine(own.text, this.#paint.good('✓')));
    }
    if (entry.author !== this.#weft.me) conversation.seen(entry);
    this.#screen.print(await this.#lineOf(entry));
  }

  /** An entry of any conversation. */
  #arrived(entry: Entry, conversation: Conversation): void {
    if (conversation.log === this.#current?.log || entry.author === this.#weft.me || entry.kind !== 'text') return;
    this.#then(async () => {
      if (this.#current === undefined) return this.#show(conversation);
      if (conversation.log === this.#current.log) return;
      this.#screen.print(this.#paint.dim(`[${await this.#nameOf(conversation)}] ${harmless(entry.text)}`));
    });
  }

  #sentChanged(sent: Sent): void {
    const own = this.#own.get(sent.id);
    if (sent.state === 'refused') {
      if (own !== undefined) this.#screen.replace(own.line, this.#ownLine(own.text, this.#paint.bad('✗')));
      this.#say(this.#paint.bad(`! refused: ${harmless(sent.text)} (${sent.fault?.message})`));
    } else if (sent.state === 'pending') {
      if (own !== undefined) this.#screen.replace(own.line, this.#ownLine(own.text, this.#paint.dim('… pending')));
      else if (!this.#screen.live) this.#say(`-- pending: ${harmless(sent.text)}`);
    }
  }

  #marked({ conversation, user, kind, seq }: MarkInfo): void {
    if (user === this.#weft.me) return;
    for (const own of this.#own.values()) {
      if (own.seq === undefined || own.seq > seq || own.conversation.log !== conversation.log) continue;
      this.#screen.replace(own.line, this.#ownLine(own.text, kind === 'seen' ? this.#paint.good('✓✓') : '✓✓'));
    }
  }

  #changed(conversation: Conversation, change: 'joined' | 'left'): void {
    this.#then(async () => {
      this.#screen.print(this.#paint.dim(`${change}: ${await this.#nameOf(conversation)}`));
    });
  }

  #suspected(report: ProofReport): void {
    this.#then(async () => {
      const line = proofLine(report, await this.#nameOf(this.#weft.conversation(report.log)));
      if (line !== undefined) this.#screen.print(this.#paint.bad(line));
    });
  }

  #ownLine(text: string, mark: string): string {
    return `${this.#paint.person(this.#weft.handle)}> ${harmless(text)}${this.#screen.live ? ` ${mark}` : ''}`;
  }

  async #lineOf(entry: Entry): Promise<string> {
    // Written by a cell, not by a person.
    if (entry.kind === 'handover' || entry.kind === 'takeover') return this.#paint.dim('· another cell keeps the order here now');
    const name = await this.#weft.nameOf(entry.author);
    if (entry.emptied) return this.#paint.dim(`· ${name} took these words back, or changed them`);
    if (entry.author === this.#weft.me && entry.kind === 'text') return this.#ownLine(entry.text, this.#paint.good('✓'));
    if (entry.kind === 'text') return `${this.#paint.person(name)}> ${harmless(entry.text)}`;
    return this.#paint.dim(`· ${name} ${await this.#storyOf(entry)}`);
  }

  async #storyOf({ body, readable }: Entry): Promise<string> {
    if (!readable) return 'wrote something that cannot be read';
    switch (body?.$case) {
      case 'created':
        return body.value.title === '' ? 'opened the conversation' : `created "${harmless(body.value.title)}"`;
      case 'membersAdded':
        return `added ${await this.#names(body.value.members.map(({ user }) => user))}`;
      case 'membersRemoved':
        return `removed ${await this.#names(body.value.users)}`;
      case 'edited':
        return `changed words of before to: ${harmless(body.value.text)}`;
      case 'deleted':
        return 'took words of before back';
      default:
        return 'sent something this client cannot show';
    }
  }

  async #names(users: readonly bigint[]): Promise<string> {
    return (await Promise.all(users.map((user) => this.#weft.nameOf(user)))).join(', ');
  }

  async #nameOf(conversation: Conversation): Promise<string> {
    // Of an earlier run: the list tells what this one has not heard yet.
    if (conversation.kind === 'unknown') await this.#weft.conversations().catch(() => []);
    const { title, peer, log } = conversation;
    if (title !== '') return harmless(title);
    return peer === undefined ? `conversation ${log}` : this.#weft.nameOf(peer);
  }

  #showState(): void {
    clearInterval(this.#countdown);
    this.#screen.status(this.#statusOf(this.#weft.state));
    if (this.#weft.state.name === 'waiting' && this.#screen.live) {
      this.#countdown = setInterval(() => this.#screen.status(this.#statusOf(this.#weft.state)), limits.countdownMs);
    }
    if (this.#weft.state.name === 'stopped' && this.#weft.state.stop !== 'closed') this.#quit();
  }

  #statusOf({ name, reason, retryAtMs, cell, node }: WeftState): string {
    const where = node === '' ? cell : `${cell}/${node}`;
    const seconds = retryAtMs === undefined ? 0 : Math.max(0, Math.ceil((retryAtMs - Date.now()) / 1_000));
    const pause = name === 'waiting' && this.#screen.live ? `, next try in ${seconds} s` : '';
    const why = reason === '' ? '' : `: ${reason}`;
    const state = name === 'live' ? this.#paint.good(name) : this.#paint.bad(`${name}${why}${pause}`);
    return `${this.#paint.person(this.#weft.handle)} ${this.#paint.dim(where)} ${state}`;
  }

  #say(text: string): void {
    this.#then(async () => {
      this.#screen.print(text);
    });
  }

  #then(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work).catch((error: unknown) => {
      this.#screen.print(this.#paint.bad(`! ${error instanceof Error ? error.message : String(error)}`));
    });
  }
}
