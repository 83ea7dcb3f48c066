// The digest of each person's heads, after anything that may happen to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import fc from 'fast-check';
import { kinds } from '../delivery/entry.ts';
import type { OnlineUser } from './hub.ts';

import { digestOf, entryAt, epoch, Ground, joined, left, type Socket, settle } from './staged-hub.ts';

/** Three people who join and leave three logs, come and go, on a node that misses some commits. */
class Crowd {
  readonly ground = new Ground();
  readonly members = new Map<bigint, Set<bigint>>([901n, 902n, 903n].map((user) => [user, new Set<bigint>()]));
  readonly online = new Map<bigint, { socket: Socket; online: OnlineUser }>();

  readonly steps = {
    append: (_user: bigint, log: bigint) => this.ground.commit(entryAt(log, this.#next(log))),
    lose: (_user: bigint, log: bigint) => this.ground.store(entryAt(log, this.#next(log))),
    catchUp: () => this.ground.hub.catchUp(),
    join: (user: bigint, log: bigint) => {
      if (this.#logs(user).has(log)) return;
      this.#logs(user).add(log);
      const at = this.#next(log);
      this.ground.commit(joined(user, this.#next(user), log, at), entryAt(log, at, { kind: kinds.membersAdded }));
    },
    leave: (user: bigint, log: bigint) => {
      if (!this.#logs(user).delete(log)) return;
      const at = this.#next(log);
      this.ground.commit(left(user, this.#next(user), log, at), entryAt(log, at, { kind: kinds.membersRemoved }));
    },
    open: async (user: bigint) => {
      if (!this.online.has(user)) this.online.set(user, await this.ground.online(user, [...this.#logs(user)]));
    },
    close: (user: bigint) => {
      const own = this.online.get(user);
      if (own) this.ground.hub.close(user, own.socket);
      this.online.delete(user);
    },
  };

  #logs(user: bigint): Set<bigint> {
    return this.members.get(user) as Set<bigint>;
  }

  #next(log: bigint): number {
    return this.ground.row(log).head + 1;
  }
}

test('after any steps each digest equals the one computed anew from the heads', async () => {
  const step = fc.record({
    what: fc.constantFrom('append', 'append', 'join', 'leave', 'open', 'close', 'lose', 'catchUp'),
    user: fc.constantFrom(901n, 902n, 903n),
    log: fc.constantFrom(1n, 2n, 3n),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const crowd = new Crowd();
      const { ground } = crowd;
      for (const { what, user, log } of steps) {
        await crowd.steps[what](user, log);
        for (const { online } of crowd.online.values()) assert.equal(digestValue(online.digest), digestOf(online));
      }
      await settle();
      await ground.hub.catchUp();
      for (let i = 0; i < 5; i++) await settle();
      for (const [user, { online }] of crowd.online) {
        const logs = [user, ...(crowd.members.get(user) ?? [])].sort();
        assert.deepEqual([...online.logs].map((each) => each.log).sort(), logs);
        const truth: Digest = { hi: 0, lo: 0 };
        for (const log of logs) toggleHead(truth, log, epoch, ground.row(log).head);
        assert.equal(digestValue(online.digest), digestValue(truth));
      }
    }),
    { numRuns: 150 },
  );
});
