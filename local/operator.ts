// Asks the nodes of a running fabric what only its operator may know.
import type { Credentials } from './credentials.ts';
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';
import { readJson } from './state-file.ts';

export interface NodeAnswer<T> {
  readonly cell: string;
  readonly node: string;
  /** What it said, or why it did not. */
  readonly answer: T | undefined;
  readonly why: string;
}

/** Throws when the fabric was started by a version that knows no operators. */
export function operatorToken(fabric: Pick<FabricFile, 'credentialsFile'>): string {
  const token = readJson<Partial<Credentials>>(fabric.credentialsFile)?.operatorToken;
  if (token === undefined) throw new Error(`${fabric.credentialsFile} holds no operator's token: start the fabric anew`);
  return token;
}

/** Every node of every cell at once; none is waited for longer than `operatorMsMax`. */
export function askNodes<T>(fabric: Pick<FabricFile, 'cells'>, token: string, path: string): Promise<NodeAnswer<T>[]> {
  const nodes = fabric.cells.flatMap(({ name, nodes }) => nodes.map((node) => ({ cell: name, node: node.name, url: node.url })));
  return Promise.all(
    nodes.map(async ({ cell, node, url }) => {
      try {
        return { cell, node, answer: await askNode<T>(url, path, { token, msMax: limits.operatorMsMax }), why: '' };
      } catch (error) {
        return { cell, node, answer: undefined, why: whyNot(error) };
      }
    }),
  );
}

export interface Asking {
  readonly token: string;
  /** Milliseconds that the node has to answer. */
  readonly msMax: number;
  /** Asked with POST when there is one. */
  readonly body?: unknown;
}

/** One request at the operators' door of the node with this base URL. Throws what the node says. */
export async function askNode<T>(url: string, path: string, { token, msMax, body }: Asking): Promise<T> {
  const answer = await fetch(`${url}/v1/operator/${path}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(msMax),
  });
  const said = (await answer.json()) as { readonly detail?: string };
  if (!answer.ok) throw new Error(`it answered ${answer.status}: ${said.detail?.slice(0, limits.canaryAnswerCharsMax)}`);
  return said as T;
}

/** In words, why a node did not answer. */
export function whyNot(error: unknown, msMax: number = limits.operatorMsMax): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string } };
  if (name === 'TimeoutError') return `no answer within ${msMax} ms`;
  return cause?.code === 'ECONNREFUSED' ? 'it does not run' : message;
}
