import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { during, pair } from './staged-world.ts';

/** A group of ana's with bo in it, and bo's self log. */
async function lunch() {
  const { clock, cell, bo, ana, close } = await pair();
  const group = await during(clock, ana.createGroup('lunch', [bo.me]));
  await clock.advance(500);
  const log = group.log as bigint;
  const self = [...cell.logs.values()].find(({ kind, members }) => kind === 'LOG_KIND_SELF' && members.includes(bo.me));
  const owned = cell.logs.get(log);
  assert.ok(owned && self);
  return { clock, cell, bo, ana, log, self, owned, close };
}

describe('the client whose log changes its owner', () => {
  it('takes back what a new epoch gave up', async () => {
    const { clock, cell, bo, ana, log, close } = await pair();
    const got: string[] = [];
    const conversation = bo.conversation(log);
    conversation.subscribe(({ text }) => got.push(text), { truncated: (base) => got.push(`cut ${base}`) });
    for (const value of ['a', 'b', 'c']) cell.add(log, ana.me, { $case: 'text', value });
    await clock.advance(10);
    const owned = cell.logs.get(log);
    assert.ok(owned);
    owned.entries.length = 2;
    owned.epoch = 2n;
    cell.push('bo', { $case: 'truncated', value: { log, epoch: 2n, base: 2n, after: 1n } });
    await clock.advance(10);
    cell.add(log, ana.me, { $case: 'text', value: 'd' });
    await clock.advance(10);
    assert.deepEqual(got, ['a', 'b', 'c', 'cut 2', 'd']);
    await close();
  });

  it('is in a log again when its restored home forgot that it left', async () => {
    const { clock, cell, bo, ana, log, self, close } = await lunch();
    const told: string[] = [];
    bo.on('conversation', (conversation, change) => conversation.log === log && told.push(change));
    bo.on('entry', ({ log: of, text }) => of === log && told.push(text));
    const kept = self.entries.length;
    cell.add(self.id, bo.me, { $case: 'logLeft', value: { log, until: 1n } });
    await clock.advance(10);
    self.entries.length = kept;
    self.epoch = 2n;
    cell.push('bo', { $case: 'truncated', value: { log: self.id, epoch: 2n, base: BigInt(kept), after: 1n } });
    await clock.advance(10);
    cell.add(log, ana.me, { $case: 'text', value: 'soup' });
    await clock.advance(1_000);
    assert.deepEqual(told, ['left', 'joined', 'soup']);
    await close();
  });

  it('begins anew with a log that it joined again, at another place, after its restored home forgot the joining', async () => {
    const { clock, cell, bo, ana, log, self, owned, close } = await lunch();
    const got: string[] = [];
    bo.conversation(log).subscribe(({ seq }) => got.push(`${seq}`), { truncated: (base) => got.push(`cut ${base}`) });
    for (const value of ['soup', 'salad']) cell.add(log, ana.me, { $case: 'text', value });
    await clock.advance(10);
    const joined = self.entries.findIndex(({ body }) => body?.$case === 'logJoined' && body.value.log === log);
    self.entries.length = joined;
    self.epoch = 2n;
    cell.push('bo', { $case: 'truncated', value: { log: self.id, epoch: 2n, base: BigInt(joined), after: 1n } });
    await clock.advance(10);
    cell.loses = () => true;
    cell.add(log, ana.me, { $case: 'text', value: 'not for bo' });
    cell.loses = () => false;
    owned.visibleFrom = 5n;
    cell.add(self.id, bo.me, { $case: 'logJoined', value: { log, kind: 'LOG_KIND_GROUP', from: 5n, peer: 0n } });
    cell.add(log, ana.me, { $case: 'membersAdded', value: { members: [{ user: bo.me, home: 1, from: 5n }] } });
    await clock.advance(1_000);
    assert.deepEqual(got, ['2', '3', 'cut 0', '5']);
    await close();
  });

  it('reads on from where it is in a log, whatever the self log tells of before', async () => {
    const { clock, cell, bo, ana, log, self, owned, close } = await lunch();
    const got: string[] = [];
    const changes: string[] = [];
    bo.conversation(log).subscribe(({ seq }) => got.push(`${seq}`), { truncated: (base) => got.push(`cut ${base}`) });
    bo.on('conversation', (conversation, change) => conversation.log === log && changes.push(change));
    cell.loses = () => true;
    for (const value of ['2', '3', '4']) cell.add(log, ana.me, { $case: 'text', value });
    owned.visibleFrom = 3n;
    // It was out of the log and in it again, at 4, which a newer epoch undid: then at 3.
    for (const body of [
      { $case: 'logLeft', value: { log, until: 2n } },
      { $case: 'logJoined', value: { log, kind: 'LOG_KIND_GROUP', from: 4n, peer: 0n } },
      { $case: 'logLeft', value: { log, until: 2n } },
      { $case: 'logJoined', value: { log, kind: 'LOG_KIND_GROUP', from: 3n, peer: 0n } },
    ] as const)
      cell.add(self.id, bo.me, body);
    cell.loses = () => false;
    cell.beat();
    await clock.advance(2_000);
    assert.deepEqual(got.slice(-2), ['3', '4']);
    assert.deepEqual(changes, ['joined']);
    await close();
  });

  it('asks what became of what it sent before it was out of a log, though it hears of that when it reads on already', async () => {
    const { clock, cell, bo, ana, log, self, owned, close } = await lunch();
    cell.answer = () => 'pending';
    const sent = bo.conversation(log).send('soup?');
    await clock.advance(10);
    assert.equal(sent.state, 'pending');
    cell.loses = () => true;
    cell.add(log, bo.me, { $case: 'text', value: 'soup?' }, sent.id);
    cell.add(log, ana.me, { $case: 'text', value: 'bo is out, and in again' });
    owned.visibleFrom = 4n;
    cell.loses = () => false;
    cell.add(log, ana.me, { $case: 'text', value: 'no' });
    await clock.advance(1_000);
    assert.deepEqual([bo.conversation(log).head, sent.state], [4, 'pending']);
    cell.add(self.id, bo.me, { $case: 'logLeft', value: { log, until: 3n } });
    cell.add(self.id, bo.me, { $case: 'logJoined', value: { log, kind: 'LOG_KIND_GROUP', peer: 0n, from: 4n } });
    await clock.advance(5_000);
    assert.equal(sent.state, 'accepted');
    await close();
  });

  for (const first of ['truncated', 'refused'] as const)
    it(`is told when what was accepted is given up and then refused, ${first} first`, async () => {
      const { clock, cell, ana, toBo, log, close } = await pair();
      const told: string[] = [];
      ana.on('givenUp', ({ text }, conversation, fault) => told.push(`${text} in ${conversation.log === log}: ${fault.code}`));
      ana.conversation(log).subscribe(() => undefined);
      const [, kept, back, refused] = ['a', 'b', 'c', 'd'].map((text) => toBo.send(text));
      await clock.advance(10);
      assert.equal(refused?.state, 'accepted');
      const owned = cell.logs.get(log);
      assert.ok(owned && kept && back);
      owned.entries.length = Number(kept.at?.seq);
      owned.epoch = 2n;
      const pushes = {
        truncated: () => cell.push('ana', { $case: 'truncated', value: { log, epoch: 2n, base: BigInt(owned.entries.length), after: 1n } }),
        refused: () =>
          cell.push('ana', { $case: 'refused', value: { log, clientEntryId: refused.id, code: 'not_a_member', text: '', peer: 0n } }),
      };
      pushes[first]();
      await clock.advance(10);
      assert.deepEqual(told, []);
      pushes[first === 'truncated' ? 'refused' : 'truncated']();
      await clock.advance(10);
      assert.deepEqual(told, ['d in true: not_a_member']);
      await close();
    });
});
