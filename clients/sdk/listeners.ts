/** Calls a caller's function. What it throws is the caller's: it surfaces as an uncaught error and disturbs nothing here. */
export function call<A extends readonly unknown[]>(fn: (...args: A) => void, ...args: A): void {
  try {
    fn(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

type Table = { readonly [event: string]: readonly unknown[] };

/** Functions by event; `T` maps each event to its arguments. */
export class Listeners<T extends Table> {
  readonly #byEvent = new Map<keyof T, Set<(...args: never) => void>>();

  /** The result takes the function off again. */
  add<E extends keyof T>(event: E, fn: (...args: T[E]) => void): () => void {
    const set = this.#byEvent.get(event) ?? new Set();
    this.#byEvent.set(event, set);
    set.add(fn);
    return () => set.delete(fn);
  }

  has(event: keyof T): boolean {
    return (this.#byEvent.get(event)?.size ?? 0) > 0;
  }

  tell<E extends keyof T>(event: E, ...args: T[E]): void {
    for (const fn of this.#byEvent.get(event) ?? []) call(fn as (...args: T[E]) => void, ...args);
  }
}
