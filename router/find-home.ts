// Where a user lives: from the replica, else from the directory itself.
import { WeftError } from '@weft/proto/faults.ts';
import type { CellRecord, UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { limits } from './limits.ts';

export interface Home {
  readonly user: UserRecord;
  readonly cell: CellRecord;
}

type By = { readonly handle: string } | { readonly id: bigint };

export class HomeFinder {
  readonly #replica: DirectoryReplica;
  #asking = 0;

  constructor(replica: DirectoryReplica) {
    this.#replica = replica;
  }

  /** `handle` is normalised. Throws `unknown_user`; `directory_away` when only the directory could know. */
  async find(by: By): Promise<Home> {
    const user = this.held(by) ?? (await this.#ask(by));
    if (user === undefined) throw new WeftError('unknown_user');
    const cell = this.#replica.cell(this.#replica.answering(user.home));
    if (cell === undefined) throw new WeftError('not_ready', 'the home cell is not known here yet', limits.awayAfterMs);
    return { user, cell };
  }

  /** Without asking the directory. */
  held(by: By): UserRecord | undefined {
    return 'handle' in by ? this.#replica.userByHandle(by.handle) : this.#replica.userById(by.id);
  }

  async #ask(by: By): Promise<UserRecord | undefined> {
    if (this.#asking >= limits.lookUpsMax) throw new WeftError('busy', '', limits.busyAfterMs);
    this.#asking++;
    try {
      return await this.#replica.directory.findUser(by);
    } catch (error) {
      if (!(error instanceof WeftError) || error.code !== 'directory_away') throw error;
      // A replica that saw the end of the log a moment ago knows as much as the directory did then.
      if (this.#replica.fresh) return undefined;
      throw new WeftError('directory_away', '', limits.awayAfterMs);
    } finally {
      this.#asking--;
    }
  }
}
