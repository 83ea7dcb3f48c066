// Sessions of which some commits fail, as they do on CockroachDB and on a bad network: known not to have happened, of unknown
// outcome though they did or did not, or with the connection lost at that moment.
import type { SqlLogStoreOptions } from '@weft/cells/store/sql-log-store.ts';
import type { Random } from '@weft/runtime/random.ts';

type Sessions = SqlLogStoreOptions['sessions'];
type Session = Awaited<ReturnType<Sessions['get']>>;
interface Statement {
  readonly text: string;
}

const ways = ['serialisation failure', 'unknown, did not happen', 'unknown, did happen', 'connection lost, did happen'] as const;
type Way = (typeof ways)[number];
const codes: Readonly<Record<Way, string>> = {
  'serialisation failure': '40001',
  'unknown, did not happen': '40003',
  'unknown, did happen': '40003',
  'connection lost, did happen': 'ECONNRESET',
};

export class FailingCommits implements Sessions {
  /** How many commits failed in each way. */
  readonly counts = new Map<Way, number>(ways.map((way) => [way, 0]));
  readonly #sessions: Sessions;
  readonly #random: Random;
  readonly #share: number;

  /** `share` of all commits fail, 0 … 1. */
  constructor(sessions: Sessions, random: Random, share: number) {
    this.#sessions = sessions;
    this.#random = random;
    this.#share = share;
  }

  async get(lane: number): Promise<Session> {
    const session = await this.#sessions.get(lane);
    const query = (statement: Statement | string): Promise<unknown> => {
      const isCommit = typeof statement !== 'string' && statement.text === 'commit';
      if (!isCommit || this.#random.next() >= this.#share) return session.query(statement as string);
      return this.#fail(session, lane, ways[this.#random.int(ways.length)] as Way);
    };
    return withQuery(session, query);
  }

  drop(lane: number): void {
    this.#sessions.drop(lane);
  }

  async #fail(session: Session, lane: number, way: Way): Promise<never> {
    this.counts.set(way, (this.counts.get(way) ?? 0) + 1);
    await session.query(way.endsWith('did happen') ? 'commit' : 'rollback');
    if (way === 'connection lost, did happen') this.#sessions.drop(lane);
    throw Object.assign(new Error(way), { code: codes[way] });
  }
}

/** Sessions whose answers come a moment later, those of one moment all at once, as from a server that is read seldom. */
export class GatheredAnswers implements Sessions {
  readonly #sessions: Sessions;
  #waiting: (() => void)[] = [];

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  async get(lane: number): Promise<Session> {
    const session = await this.#sessions.get(lane);
    const query = (statement: Statement | string): Promise<unknown> =>
      new Promise((resolve, reject) => {
        session.query(statement as string).then(
          (result) => this.#later(() => resolve(result)),
          (error: unknown) => this.#later(() => reject(error)),
        );
      });
    return withQuery(session, query);
  }

  drop(lane: number): void {
    this.#sessions.drop(lane);
  }

  #later(answer: () => void): void {
    this.#waiting.push(answer);
    if (this.#waiting.length > 1) return;
    setTimeout(() => {
      for (const each of this.#waiting.splice(0)) each();
    }, gatherMs);
  }
}

const gatherMs = 20;

/** Everything but `query` is the session's own. */
const withQuery = (session: Session, query: (statement: Statement | string) => Promise<unknown>): Session =>
  new Proxy(session, {
    get(target, name) {
      if (name === 'query') return query;
      // As if nothing were parsed, so that every statement comes by itself.
      if (name === 'connection') return Object.create(target.connection, { parsedStatements: { value: {} } });
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
