// Loaded into each test process: one whose tests are over and which does not end has left something running.
import { after } from 'node:test';

/** Longer than a pool or a socket takes to close on a busy machine. */
const graceMs = 15_000;

// Not into the runner, unless it runs the tests itself.
if (process.env.NODE_TEST_CONTEXT !== undefined || process.execArgv.includes('--test-isolation=none')) {
  after(() => {
    const complain = (): never => {
      console.error(`left running after the tests: ${process.getActiveResourcesInfo().join(', ')}`);
      process.exit(1);
    };
    // In two steps: a hook that blocks the process for long, as deleting many files may, is over by the second.
    setTimeout(() => setTimeout(complain, graceMs / 2).unref(), graceMs / 2).unref();
  });
}
