// Loaded into each test process: a file whose tests are over and whose process does not end has left something running.
import { after } from 'node:test';

/** Longer than a pool or a socket takes to close on a busy machine. */
const graceMs = 15_000;

if (process.env.NODE_TEST_CONTEXT !== undefined) {
  after(() => {
    const complain = (): never => {
      console.error(`left running after the tests: ${process.getActiveResourcesInfo().join(', ')}`);
      process.exit(1);
    };
    setTimeout(complain, graceMs).unref();
  });
}
