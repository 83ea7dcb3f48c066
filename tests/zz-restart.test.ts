import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startFabric } from './harness.ts';
import { until } from './until.ts';
test('restart', { timeout: 200000 }, async () => {
  await using fabric = await startFabric({ cells: ['eu-1', 'us-1'], nodes: { 'eu-1': 2 } });
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.openDirect(bo.user);
  const says = async (from: any, to: any, text: string) => {
    const id = from.freshEntryId(); const t = performance.now();
    const a = await from.append({ log }, text, id);
    const dump = async () => { for (const n of ['node-eu-1-a','node-eu-1-b','node-us-1-a']) { const port = fabric.fabric.servers().find((x) => x.name === n)?.ports[1]; const m = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(); console.log(n, m.split('\n').filter((l) => /^cells_(rejected|link)/.test(l)).join(' | ')); console.log(readFileSync(join(fabric.fabric.dataDir, 'logs', n + '.log'), 'utf8').split('\n').slice(-14).join('\n')); } const mon = fabric.fabric.plan.cells[0]!.nats as any; const j: any = await (await fetch(`http://127.0.0.1:${mon.monitor ?? mon.http ?? mon.monitoring}/jsz?consumers=1&streams=1&accounts=1`)).json(); console.log(JSON.stringify(j.account_details?.flatMap((a: any) => a.stream_detail?.map((s: any) => ({ s: s.name, msgs: s.state.messages, c: s.consumer_detail?.map((c: any) => [c.name, c.num_pending, c.num_ack_pending, c.num_waiting, c.num_redelivered]) }))))); };
    const timer = setTimeout(() => { dump().catch(console.log); }, 6000);
    try { await until(text, () => to.pushed().some((e: any) => e.clientEntryId === id), 20000); }
    catch { console.log('FAILED', text, a.$case, 'ana has it', ana.pushed().some((e: any) => e.clientEntryId === id), 'told', to.told(log).length,
      JSON.stringify(await fabric.sql('eu-1', 'select head from logs where log_id = $1', [log]), (_, v) => typeof v === 'bigint' ? String(v) : v),
      JSON.stringify(await fabric.sql('us-1', 'select (select head from logs where log_id = $1) h, (select count(*) from intake) i, (select count(*) from outbox) o', [log]), (_, v) => typeof v === 'bigint' ? String(v) : v),
      JSON.stringify(await fabric.sql('eu-1', 'select name, holder, expires_ms - extract(epoch from now())*1000 as left from leases'), (_, v) => typeof v === 'bigint' ? String(v) : v)); }
    clearTimeout(timer);
    return Math.round(performance.now() - t);
  };
  for (let i = 0; i < 2; i++) {
    await fabric.kill('node-eu-1-b');
    await fabric.settle();
    const again = await fabric.client('ana', 'eu-1', { node: 'b', device: 'tablet' });
    console.log(i, await says(again, bo, 'from new'), await says(bo, again, 'to new'), await says(ana, again, 'from a'));
    again.close();
  }
});
