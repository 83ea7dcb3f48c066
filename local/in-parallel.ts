/** Runs `make` for every item, a bounded number at a time, in the order of the items. */
export async function inParallel<T, R>(items: readonly T[], most: number, make: (item: T, at: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await make(items[at] as T, at);
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
  return results;
}
