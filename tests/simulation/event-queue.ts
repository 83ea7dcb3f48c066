// What is to happen, by its moment: a binary heap whose keys lie apart from what they are of, as plain doubles. Reading them
// through the events would cost two loads from afar for each comparison.

interface Timed {
  readonly at: number;
}

/** First comes what is earliest, and of equal moments what was added first. */
export class EventQueue<T extends Timed> {
  readonly #events: T[] = [];
  #at = new Float64Array(1_024);
  #order = new Float64Array(1_024);
  #added = 0;

  /** Infinite when there is nothing. */
  get nextMs(): number {
    return this.#events.length > 0 ? (this.#at[0] as number) : Number.POSITIVE_INFINITY;
  }

  add(event: T): void {
    const from = this.#events.length;
    if (from === this.#at.length) this.#grow();
    this.#events.push(event);
    this.#up(from, event, this.#added++);
  }

  /** The first one, if it is due by `untilMs`. */
  take(untilMs: number): T | undefined {
    const events = this.#events;
    if (events.length === 0 || (this.#at[0] as number) > untilMs) return undefined;
    const first = events[0];
    const last = events.pop() as T;
    if (events.length > 0) this.#down(last, this.#order[events.length] as number);
    return first;
  }

  #up(from: number, event: T, order: number): void {
    const at = this.#at;
    const due = event.at;
    let i = from;
    // What is added is the last of its moment: it passes only what is later.
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((at[parent] as number) <= due) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#put(i, event, order);
  }

  #down(event: T, order: number): void {
    const due = event.at;
    const size = this.#events.length;
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && this.#isBefore(child + 1, child)) child += 1;
      const below = this.#at[child] as number;
      if (due < below || (due === below && order < (this.#order[child] as number))) break;
      this.#move(child, i);
      i = child;
    }
    this.#put(i, event, order);
  }

  #isBefore(i: number, j: number): boolean {
    const x = this.#at[i] as number;
    const y = this.#at[j] as number;
    return x < y || (x === y && (this.#order[i] as number) < (this.#order[j] as number));
  }

  #move(from: number, to: number): void {
    this.#events[to] = this.#events[from] as T;
    this.#at[to] = this.#at[from] as number;
    this.#order[to] = this.#order[from] as number;
  }

  #put(i: number, event: T, order: number): void {
    this.#events[i] = event;
    this.#at[i] = event.at;
    this.#order[i] = order;
  }

  #grow(): void {
    const [at, order] = [this.#at, this.#order];
    this.#at = new Float64Array(2 * at.length);
    this.#order = new Float64Array(2 * at.length);
    this.#at.set(at);
    this.#order.set(order);
  }
}
