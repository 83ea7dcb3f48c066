// I12: did the people of cells that were not hit notice?
//
// The machine is small and shared: whatever else runs on it, and the healing itself, takes time from every process. So
// latency is compared twice. Each answer is freed of what the control cell, asked at the same moment, waited beyond its
// usual time; and what is left while the fault lasts is compared with what is left before it and after the recovery. An
// answer is late only if it also took longer than the factor by which the control cell was slowed explains.
// "p99 is within the limit" is "at most 1 % of the answers are later than it": of a few hundred answers more than 1 %
// may be later by chance, so it is a violation only where chance is out of the question.
import { limits } from './limits.ts';

/** When one probe was sent and answered. */
export interface Answer {
  readonly sentMs: number;
  readonly atMs: number;
}

export interface Times {
  readonly talkMs: number;
  readonly faultMs: number;
  /** Everybody was shown everything again. */
  readonly recoveredMs: number;
  readonly endMs: number;
}

export interface Latency {
  /** p99 as measured, undisturbed and under the fault, in milliseconds. */
  readonly undisturbedMs: number;
  readonly faultMs: number;
  /** The same, freed of what the control cell waited; NaN without one. */
  readonly freedUndisturbedMs: number;
  readonly freedFaultMs: number;
  /** What may be at most (I12). */
  readonly allowedMs: number;
  readonly asked: number;
  /** Answers under the fault that were later than allowed, and how many may be by chance. */
  readonly late: number;
  readonly lateMax: number;
  /** Answers under the fault that came so late that they count as errors. */
  readonly errors: number;
  /** Why nothing is said about it; empty when it was judged. */
  readonly unjudged: string;
}

const isUndisturbed = ({ sentMs }: Answer, { talkMs, faultMs, recoveredMs, endMs }: Times): boolean =>
  (sentMs >= talkMs && sentMs < faultMs - limits.guardMs) || (sentMs >= recoveredMs && sentMs < endMs - limits.guardMs);

const isUnderFault = ({ sentMs }: Answer, { faultMs, recoveredMs }: Times): boolean => sentMs >= faultMs && sentMs < recoveredMs;

export function latencyOf(own: readonly Answer[], control: readonly Answer[], times: Times): Latency {
  const quiet = own.filter((answer) => isUndisturbed(answer, times));
  const during = own.filter((answer) => isUnderFault(answer, times));
  const measured = { undisturbedMs: p99(quiet.map(waitOf)), faultMs: p99(during.map(waitOf)), asked: during.length };
  const free = freeing(control, times);
  const freedUndisturbedMs = p99(quiet.map(free));
  const freedFaultMs = p99(during.map(free));
  const allowedMs = Math.max(freedUndisturbedMs * limits.latencyFactorMax, freedUndisturbedMs + limits.latencyMoreMsMax);
  // Whoever does more than the control cell is slowed by more milliseconds, and hardly by a larger factor.
  const slowedMs = measured.undisturbedMs * limits.latencyFactorMax * slowedBy(control, times);
  const late = during.filter((answer) => free(answer) > allowedMs && waitOf(answer) > slowedMs).length;
  const errors = during.filter((answer) => free(answer) > limits.errorAfterMs).length;
  const freed = { freedUndisturbedMs, freedFaultMs, allowedMs, late, lateMax: lateByChance(during.length), errors };
  return { ...measured, ...freed, unjudged: reasonAgainst(measured.asked, quiet.length, control, times) };
}

/** An answer's wait without what the machine took from the control cell at the same moment. */
function freeing(control: readonly Answer[], times: Times): (answer: Answer) => number {
  const usualMs = quantile(control.filter((answer) => isUndisturbed(answer, times)).map(waitOf), 0.5);
  const takenMs = new Map(control.map((answer) => [answer.sentMs, Math.max(0, waitOf(answer) - usualMs)]));
  return (answer) => Math.max(0, waitOf(answer) - (takenMs.get(answer.sentMs) ?? 0));
}

/** The factor by which the control cell's p99 was higher under the fault; 1 at least. */
function slowedBy(control: readonly Answer[], times: Times): number {
  const quietMs = p99(control.filter((answer) => isUndisturbed(answer, times)).map(waitOf));
  const duringMs = p99(control.filter((answer) => isUnderFault(answer, times)).map(waitOf));
  return Math.max(1, duringMs / quietMs || 1);
}

function reasonAgainst(asked: number, quiet: number, control: readonly Answer[], times: Times): string {
  if (control.length === 0) return 'there is no control cell';
  if (Math.min(asked, quiet) < limits.answersMin) return `fewer than ${limits.answersMin} answers`;
  const controlMs = quantile(control.filter((answer) => isUndisturbed(answer, times)).map(waitOf), 0.9);
  if (!(controlMs <= limits.controlMsMax)) return `even the control cell's p90 was ${Math.round(controlMs)} ms: the machine is too busy`;
  return '';
}

/** The least number that more than which, of so many with a chance of 1 % each, comes once in a thousand times. */
export function lateByChance(asked: number): number {
  let [chance, sum, late] = [0.99 ** asked, 0.99 ** asked, 0];
  for (; 1 - sum > limits.chanceMax && late < asked; late++) {
    chance *= ((asked - late) / (late + 1)) * (0.01 / 0.99);
    sum += chance;
  }
  return late;
}

/** In words. */
export function describeLatency(latency: Latency): string {
  const { undisturbedMs, faultMs, freedFaultMs, freedUndisturbedMs, allowedMs, late, lateMax, asked, unjudged } = latency;
  const measured = `p99 was ${Math.round(faultMs)} ms, undisturbed ${Math.round(undisturbedMs)} ms`;
  if (unjudged !== '') return `${measured}; not judged: ${unjudged}`;
  const freed = `${Math.round(freedFaultMs)} and ${Math.round(freedUndisturbedMs)} ms beside the control cell`;
  return `${measured}; ${freed}; ${late} of ${asked} later than ${Math.round(allowedMs)} ms, ${lateMax} may be by chance`;
}

const waitOf = ({ sentMs, atMs }: Answer): number => atMs - sentMs;
const p99 = (waits: readonly number[]): number => quantile(waits, 0.99);

function quantile(waits: readonly number[], share: number): number {
  const sorted = [...waits].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
