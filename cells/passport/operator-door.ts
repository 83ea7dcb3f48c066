// What an operator may ask a node, on the port of its metrics and with a token: where a message is, and how the books stand.
import type { BooksAnswer } from '@weft/proto/passport.ts';
import { type ServiceTokens, tokenName } from '@weft/runtime/grpc.ts';
import type { MoreAnswer } from '@weft/runtime/observability.ts';
import type { EntryId, Passports } from './passports.ts';

export interface Answers {
  readonly passports: Passports;
  readonly books: () => BooksAnswer;
}

export class OperatorDoor {
  readonly #tokens: ServiceTokens;
  #answers: Answers | undefined;

  constructor(tokens: ServiceTokens) {
    this.#tokens = tokens;
  }

  /** From now on it has something to tell. */
  open(answers: Answers): void {
    this.#answers = answers;
  }

  /** Undefined for a path that is not its own. */
  async answer({ url, authorization }: { url: URL; authorization: string | undefined }): Promise<MoreAnswer | undefined> {
    if (url.pathname !== '/where' && url.pathname !== '/books') return undefined;
    if (tokenName(authorization, this.#tokens) === undefined) return said(401, { error: 'token_invalid' });
    if (!this.#answers) return said(503, { error: 'not_ready' });
    if (url.pathname === '/books') return said(200, this.#answers.books());
    const id = entryIdOf(url.searchParams);
    return id
      ? said(200, await this.#answers.passports.find(id))
      : said(400, { error: 'log and seq, or author and id, as decimal numbers' });
  }
}

const said = (status: number, value: unknown): MoreAnswer => ({ status, body: JSON.stringify(value) });

function entryIdOf(asked: URLSearchParams): EntryId | undefined {
  const [log, seq, author, id] = ['log', 'seq', 'author', 'id'].map((name) => number(asked.get(name)));
  if (log !== undefined && seq !== undefined && seq > 0n && seq <= Number.MAX_SAFE_INTEGER) return { log, seq: Number(seq) };
  return author !== undefined && id !== undefined ? { author, clientEntryId: id } : undefined;
}

/** Up to 64 bits; ids of logs and users have 63. */
const number = (text: string | null): bigint | undefined => {
  if (text === null || !/^\d{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  return value < 1n << 64n ? value : undefined;
};
