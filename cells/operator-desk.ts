// The operators' requests, as this node carries them out.
import { WeftError } from '@weft/proto/faults.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type { CellConfig } from './config.ts';
import { ownerOf } from './delivery/log-state.ts';
import type { CellFabric } from './fabric.ts';
import type { CellBase, Opening } from './ground.ts';
import type { OperatorDesk } from './http/operator.ts';
import { Passports } from './passport/passports.ts';
import { raiseLife } from './store/life-table.ts';
import { writeRegained } from './store/regained-table.ts';

export function openDesk(options: Opening & CellBase & CellFabric & { readonly config: CellConfig }): OperatorDesk {
  const { config, cell, pool, clock, log, store, delivery, peers, books, stamps, sessionsWatch } = options;
  const passports = new Passports({
    ...{ cell, node: config.node, clock, store, stamps, books, hub: delivery.hub, online: sessionsWatch },
    query: (statement) => pool.query(statement),
  });
  const numberOf = (name: string): number => {
    const number = peers.numberOf(name);
    if (number === undefined) throw new WeftError('unknown_cell', name);
    return number;
  };
  return {
    where: (id) => passports.find(id),
    books: () => ({
      cell: cell.name,
      links: books.links().map(({ dst, line, alarms }) => {
        const { accepted, applied, waiting, refused, heard } = line;
        const name = peers.nameOf(dst) ?? String(dst);
        return { dst: name, accepted, applied, waiting, refused, heard, alarms: Object.fromEntries(alarms) };
      }),
    }),
    async ownership(id) {
      const found = await store.readRow(id);
      if (!found) return undefined;
      const { epoch, head, status } = found.row;
      return { log: id, epoch, head, status, owner: peers.nameOf(ownerOf({ epoch })) ?? String(ownerOf({ epoch })) };
    },
    async handOver(id, name) {
      const to = numberOf(name);
      log.warn({ log: id, to: name }, 'an operator gives a log away');
      const outcome = await delivery.applier.apply({ type: 'handover', log: id, to, toGeneration: peers.generationOf(to) });
      if (outcome.type === 'fault') throw new WeftError(outcome.code, outcome.text ?? '', outcome.afterMs ?? 0);
    },
    async restored() {
      log.warn('an operator says that this store was restored');
      const to = { cell: cell.number, generation: cell.generation + 1, beat: 0, nowMs: clock.now() };
      await inTransaction(pool, (client) => raiseLife((statement) => client.query(statement), to));
    },
    async lost(name) {
      log.warn({ cell: name }, 'an operator says that a cell is lost');
      await writeRegained((statement) => pool.query(statement), { cell: numberOf(name), generation: cell.generation, isLost: true });
      delivery.ownership.poke();
    },
  };
}
