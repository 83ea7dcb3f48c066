// What is written into the trace, a line each.
import type { HistoryEvent } from '../history.ts';

export function describeEvent(event: HistoryEvent): string {
  const head = `${event.device} ${event.what}`;
  if (event.what === 'shown') return `${head} ${event.entry.log}/${event.entry.seq}`;
  if (event.what === 'accepted') return `${head} ${event.log}/${event.seq} ${event.clientEntryId}`;
  return 'clientEntryId' in event ? `${head} ${event.clientEntryId}` : `${head} ${'log' in event ? event.log : ''}`;
}

export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack ?? error.message}${error.cause === undefined ? '' : ` because of ${String(error.cause)}`}`;
}
