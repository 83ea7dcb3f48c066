// The runner, stopped in the middle of a fault, leaves nothing behind; and what it says without being run.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../until.ts';
import { lookAtMachine } from './machine.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));
const placed = !lookAtMachine().has('packet-filter');

function start(...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return { child, output: () => output, ended: once(child, 'exit').then(([code]) => code as number | null) };
}

const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );

test('Ctrl-C in the middle of a fault ends every process, namespace and bridge of the run', {
  skip: process.platform !== 'linux',
}, async () => {
  const run = start('--only', placed ? 'F16' : 'F32', '--no-latency');
  try {
    await until('a fault is being made', () => run.output().includes('making it'), 90_000);
    const pid = run.child.pid as number;
    const children = childrenOf(pid);
    assert.ok(children.length > 10, 'a fabric runs');
    const networks = (): string[] =>
      (existsSync('/run/netns') ? readdirSync('/run/netns') : []).filter((name) => name.includes(`-${pid}-`));
    assert.equal(networks().length > 0, placed);
    run.child.kill('SIGINT');
    assert.equal(await run.ended, 130);
    await until('every process is gone', () => children.every((child) => !existsSync(`/proc/${child}`)));
    assert.deepEqual(networks(), []);
  } finally {
    run.child.kill('SIGKILL');
  }
});

test('the list names every fault, and those that are not made with the reason', async () => {
  const run = start('--list');
  assert.equal(await run.ended, 0);
  for (const id of ['F1 node', 'F16 cut', 'S1 everything', 'F29']) assert.ok(run.output().includes(id), id);
  assert.match(run.output(), /F29 .* not made: there are no workflows yet/);
});

test('a fault that is not in the list is refused with the way to see it', async () => {
  const run = start('--only', 'F99');
  assert.equal(await run.ended, 2);
});
