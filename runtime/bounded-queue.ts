// A queue that says no: bounded in items and bytes, first in first out.

export interface QueueBounds {
  readonly itemsMax: number;
  /** Sum of the sizes given with the items. Default: unbounded (items without a size). */
  readonly bytesMax?: number;
}

interface Queued<T> {
  readonly item: T;
  readonly bytes: number;
}

export class BoundedQueue<T> {
  readonly #bounds: Required<QueueBounds>;
  #items: (Queued<T> | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = { itemsMax: bounds.itemsMax, bytesMax: bounds.bytesMax ?? Number.POSITIVE_INFINITY };
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False when the item does not fit: the caller owes its sender an answer (`busy`). An item larger than the bound never fits. */
  offer(item: T, bytes = 0): boolean {
    if (this.length >= this.#bounds.itemsMax || this.#bytes + bytes > this.#bounds.bytesMax) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Up to `itemsMax` items of together up to `bytesMax` bytes; at least one if there is any, however large. */
  take(itemsMax: number, bytesMax: number = Number.POSITIVE_INFINITY): T[] {
    const taken: T[] = [];
    let bytes = 0;
    while (taken.length < itemsMax) {
      const next = this.#items[this.#head];
      if (next === undefined || (taken.length > 0 && bytes + next.bytes > bytesMax)) break;
      this.#items[this.#head] = undefined;
      this.#head += 1;
      bytes += next.bytes;
      taken.push(next.item);
    }
    this.#bytes -= bytes;
    this.#compact();
    return taken;
  }

  // Shifting an array costs its length each time; moving only when half of it is empty costs one step an item.
  #compact(): void {
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }
}
