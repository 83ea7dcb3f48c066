// Every subject, stream and consumer name of the fabric. A literal anywhere else fails the tidy test.
// `src`, `dst`, `asker` and `answerer` are cell names such as "eu-1"; who may use what is in docs/adr/0001.

import { lanes } from './ids.ts';

/** e entries, i intake, v envelopes, m marks. */
export type FrameClass = 'e' | 'i' | 'v' | 'm';
export const frameClasses: readonly FrameClass[] = ['e', 'i', 'v', 'm'];

export const directoryShards = 4;

export const subjects = {
  /** One frame from src to dst; p = lane of its logs. Kept in the destination's inbound stream. */
  frame: (dst: string, cls: FrameClass, src: string, p: number): string => `wf.x.${dst}.${cls}.${src}.${p}`,
  /** What dst captures from src. Never a wildcard over sources: see ADR 0001. */
  framesFrom: (dst: string, src: string): string => `wf.x.${dst}.*.${src}.>`,
  /** The same for one partition: what names no partition is not captured, as no consumer would ever take it out again. */
  framesFromInto: (dst: string, src: string, p: number): string => `wf.x.${dst}.*.${src}.${p}`,
  /** What the consumer of one partition reads, over all sources. */
  framesOfPartition: (dst: string, p: number): string => `wf.x.${dst}.*.*.${p}`,
  /** End-to-end acknowledgements; never stored. */
  ack: (dst: string, src: string): string => `wf.ack.${dst}.${src}`,
  /** Signals: beats, later typing and presence. */
  signal: (dst: string, src: string, what: string): string => `wf.sig.${dst}.${src}.${what}`,
  signalsFrom: (dst: string, src: string): string => `wf.sig.${dst}.${src}.>`,
  /** Requests from src to dst. */
  request: (dst: string, src: string, method: string): string => `wf.rpc.${dst}.${src}.${method}`,
  requestsFrom: (dst: string, src: string): string => `wf.rpc.${dst}.${src}.>`,
  /** Signed directory changes. */
  directory: (shard: number): string => `wf.dir.${shard}`,
  directoryAll: 'wf.dir.>',
  /** Prefix under which only `answerer` may answer `asker`. */
  inbox: (asker: string, answerer: string): string => `_INBOX.${asker}.${answerer}`,
  directoryInbox: '_INBOX.directory',
  /** Inside a cell, account CELL: commits told to the other nodes. */
  push: (p: number): string => `cell.push.${p}`,
  pushAll: 'cell.push.>',
} as const;

export const streams = {
  inbound: (cell: string): string => `XIN_${cell}`,
  jobs: (cell: string): string => `JOBS_${cell}`,
  jobSubjects: 'cell.jobs.>',
  /** Durable consumer of one partition of the inbound stream. */
  partitionConsumer: (p: number): string => `apply-${p}`,
  partitions: lanes,
} as const;

/** Where a frame was found. Undefined when the subject is no frame's. */
export function frameAddress(subject: string): { readonly src: string; readonly cls: FrameClass; readonly p: number } | undefined {
  const [wf, x, , cls, src, p, more] = subject.split('.');
  const found = frameClasses.find((each) => each === cls);
  const partition = Number(p);
  if (wf !== 'wf' || x !== 'x' || found === undefined || src === undefined || more !== undefined) return undefined;
  return p === String(partition) && Number.isInteger(partition) && partition >= 0 && partition < lanes
    ? { src, cls: found, p: partition }
    : undefined;
}

/** The method of a request's subject, the name of a signal's: what follows `wf.rpc.<dst>.<src>.`. */
export const subjectTail = (subject: string): string => subject.split('.').slice(4).join('.');

/** The partition of a push's subject. */
export const pushPartition = (subject: string): number => Number(subject.slice(subjects.push(0).length - 1));

/** What the hub lets one cell's leaf link say and hear, from the cell's side. */
export function leafPermissions(cell: string): { readonly publish: readonly string[]; readonly subscribe: readonly string[] } {
  return {
    publish: [`wf.x.*.*.${cell}.>`, `wf.ack.*.${cell}`, `wf.sig.*.${cell}.>`, `wf.rpc.*.${cell}.>`, `_INBOX.*.${cell}.>`],
    subscribe: [`wf.x.${cell}.>`, `wf.ack.${cell}.>`, `wf.sig.${cell}.>`, `wf.rpc.${cell}.>`, 'wf.dir.>', `_INBOX.${cell}.>`],
  };
}

/** Never crosses a leaf link, whichever way. */
export const neverOnLeaf: readonly string[] = ['$JS.>', '$KV.>', '$O.>', '$SYS.>', '$SRV.>', '_R_.>'];
export const directoryPermissions = { publish: ['wf.dir.>'], subscribe: ['_INBOX.directory.>'] } as const;
