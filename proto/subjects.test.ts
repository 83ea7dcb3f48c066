import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameAddress, frameClasses, leafPermissions, pushPartition, streams, subjects, subjectTail } from './subjects.ts';

test('a frame’s subject says where it came from, and nothing else passes for one', () => {
  for (const cls of frameClasses) {
    for (let p = 0; p < streams.partitions; p++)
      assert.deepEqual(frameAddress(subjects.frame('us-1', cls, 'eu-1', p)), { src: 'eu-1', cls, p });
  }
  const near = subjects.frame('us-1', 'e', 'eu-1', 0);
  for (const bad of [
    near.replace('.e.', '.z.'),
    near.replace(/0$/, '4'),
    near.replace(/0$/, ''),
    near.replace(/0$/, '-1'),
    `${near}.1`,
    subjects.ack('us-1', 'eu-1'),
    '',
  ]) {
    assert.equal(frameAddress(bad), undefined, bad);
  }
});

test('what follows the cells of a request or signal is its name, with its dots', () => {
  assert.equal(subjectTail(subjects.request('us-1', 'eu-1', 'pull')), 'pull');
  assert.equal(subjectTail(subjects.signal('us-1', 'eu-1', 'presence.7')), 'presence.7');
  assert.equal(pushPartition(subjects.push(3)), 3);
});

test('every subject of a link lies inside what the source may publish and the destination may hear', () => {
  const inside = (subject: string, patterns: readonly string[]): boolean =>
    patterns.some((pattern) =>
      new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace(/>$/, '.+')}$`).test(subject),
    );
  const link = [
    subjects.frame('us-1', 'm', 'eu-1', 3),
    subjects.ack('us-1', 'eu-1'),
    subjects.signal('us-1', 'eu-1', 'beat'),
    subjects.request('us-1', 'eu-1', 'pull'),
  ];
  const answer = `${subjects.inbox('us-1', 'eu-1')}.x.1`;
  for (const subject of [...link, answer]) {
    assert(inside(subject, leafPermissions('eu-1').publish), subject);
    assert(inside(subject, leafPermissions('us-1').subscribe), subject);
    for (const other of ['eu-2', 'us-1']) assert(!inside(subject, leafPermissions(other).publish), `${other} ${subject}`);
    for (const other of ['eu-1', 'us-2']) assert(!inside(subject, leafPermissions(other).subscribe), `${other} ${subject}`);
  }
});
