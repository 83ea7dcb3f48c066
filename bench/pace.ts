// Time in a load generator.

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `send` evenly, `perSecond` times a second, with how often it was called before, until disposed. */
export function paced(perSecond: number, send: (sent: number) => void): Disposable {
  const start = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - start) / 1000) * perSecond;
    while (sent < due) send(sent++);
  }, 1);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
