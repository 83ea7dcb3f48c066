// The course of one trial: when what happened, and what it is called in the end.
import type { ControlCell } from './control.ts';
import type { Crowd } from './crowd.ts';
import { type Fault, nameOf } from './fault.ts';
import { latencyOf } from './isolation.ts';
import { limits } from './limits.ts';
import { lookAtProcessors, type ProcessorLook, shortage } from './processors.ts';
import type { CellService, Found, Shortage, Trial } from './result.ts';
import type { Stage } from './stage.ts';

const historyInvariants = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8'] as const;

export interface CourseOptions {
  readonly stage: Stage;
  readonly fault: Fault;
  readonly control?: ControlCell | undefined;
}

export class Course {
  readonly #options: CourseOptions;
  readonly #crowd: Crowd;
  readonly #times = { talkMs: performance.now(), faultMs: Number.NaN, healedMs: Number.NaN, recoveredMs: Number.NaN, endMs: Number.NaN };
  readonly #looks: ProcessorLook[] = [];
  /** Of the probes, by cell. */
  readonly #cutsBefore = new Map<string, number>();

  /** The talk begins. */
  constructor(options: CourseOptions, crowd: Crowd) {
    this.#options = options;
    this.#crowd = crowd;
    options.stage.takeRssMb();
    this.#look();
  }

  faultBegins(): void {
    for (const cell of this.#options.stage.cells) this.#cutsBefore.set(cell, this.#cuts(cell));
    this.#times.faultMs = performance.now();
    this.#look();
  }

  healed(): void {
    this.#times.healedMs = performance.now();
  }

  recovered(): void {
    this.#times.recoveredMs = performance.now();
    this.#look();
  }

  ends(): void {
    this.#times.endMs = performance.now();
  }

  services(): CellService[] {
    const { stage, fault, control } = this.#options;
    const times = this.#times;
    const beside = control?.answersSince(times.talkMs) ?? [];
    return stage.cells.map((cell) => {
      const own = this.#crowd.probes.filter((probe) => probe.cell === cell);
      return {
        cell,
        suffers: fault.suffers.includes(cell),
        latency: latencyOf(own, beside, times),
        cuts: this.#cuts(cell) - (this.#cutsBefore.get(cell) ?? 0),
      };
    });
  }

  finish({
    services,
    found,
    notes,
  }: {
    readonly services: readonly CellService[];
    readonly found: Found[];
    readonly notes: readonly string[];
  }): Trial {
    const { stage, fault } = this.#options;
    const { talkMs, healedMs, recoveredMs, endMs } = this.#times;
    const { people, counts } = this.#crowd;
    const rssMb = stage.takeRssMb();
    if (rssMb > limits.rssMbMax) found.push({ invariant: 'I14', text: `a process took ${rssMb} MB` });
    const appends = counts.said + counts.probes;
    return {
      fault: nameOf(fault),
      text: fault.text,
      result: found.length === 0 ? 'held' : 'violated',
      reason: '',
      judged: [...historyInvariants, ...new Set(['I12', 'I14', 'I15', 'I17', ...fault.aims])],
      violations: found.map(({ invariant, text, lateCell }) => ({ invariant, text, ...(lateCell === undefined ? {} : { lateCell }) })),
      appendsPerSecond: Math.round((appends * 1_000) / (endMs - talkMs)),
      accepted: appends - people.reduce((sum, { waiting }) => sum + waiting.size, 0),
      recoveryMs: Math.round(recoveredMs - healedMs),
      services,
      shortage: this.#shortage(),
      rssMb,
      notes,
      seconds: Math.round((performance.now() - talkMs) / 1_000),
    };
  }

  #shortage(): Shortage | undefined {
    const [begin, fault, recovered] = this.#looks;
    if (begin === undefined || fault === undefined || recovered === undefined) return undefined;
    const [quiet, during] = [shortage(begin, fault), shortage(fault, recovered)];
    return { waited: [quiet.waited, during.waited], stolen: [quiet.stolen, during.stolen] };
  }

  #look(): void {
    const { stage, fault } = this.#options;
    const nodes = stage.cells.filter((cell) => !fault.suffers.includes(cell)).flatMap((cell) => stage.nodes(cell));
    this.#looks.push(lookAtProcessors(nodes.flatMap((name) => stage.fabric.pid(name) ?? [])));
  }

  /** Connections of a cell's probes that were cut so far. */
  #cuts(cell: string): number {
    return this.#crowd.of(cell).reduce((sum, { name, counts }) => sum + (name.includes('-probe') ? counts.cuts : 0), 0);
  }
}
