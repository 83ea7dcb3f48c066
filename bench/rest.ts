// The REST door of a cell as the bench and the replay need it: one call with deadline, problems as errors, `later` repeated.

import { benchLimits } from './limits.ts';

export interface Session {
  /** Decimal. */
  readonly user: string;
  readonly handle: string;
  readonly cell: string;
  readonly access_token: string;
  /** Unix milliseconds. */
  readonly access_ends: number;
  readonly refresh_token: string;
  readonly urls: readonly string[];
}

/** An RFC 9457 problem that repeating does not cure. */
export class RestProblem extends Error {
  override readonly name = 'RestProblem';
  readonly code: string;

  constructor(code: string, detail: string) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly retry?: string;
  readonly after_ms?: number;
}

/** POSTs JSON. Repeats what says `later` or is not answered at all; everything else is a RestProblem. */
export async function post<T>(url: string, body: unknown): Promise<T> {
  let last = '';
  for (let attempt = 0; attempt < benchLimits.restAttemptsMax; attempt++) {
    let waitMs = 100 * Math.min(attempt + 1, 20);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(benchLimits.restMsMax),
      });
      const answer = (await response.json()) as T & Problem;
      if (response.ok) return answer;
      last = `${response.status} ${answer.code ?? ''} ${answer.detail ?? ''}`;
      if (answer.retry !== 'later') throw new RestProblem(answer.code ?? String(response.status), `${url}: ${answer.detail ?? ''}`);
      waitMs = Math.max(waitMs, answer.after_ms ?? 0);
    } catch (error) {
      if (error instanceof RestProblem) throw error;
      last = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  throw new Error(`${url}: no success in ${benchLimits.restAttemptsMax} attempts; last ${last}`);
}
