// Every fault of the list: those that are made here, and why the others are not.
import { backlogFaults } from './backlog.ts';
import { type Fault, nameOf, type Unbuilt } from './fault.ts';
import { messageFaults } from './message-faults.ts';
import { networkFaults } from './network-faults.ts';
import { outageFaults } from './outage-faults.ts';
import { processFaults } from './process-faults.ts';
import { storeFaults } from './store-faults.ts';
import { stormFaults } from './storm.ts';

const order = (id: string): number => (id.startsWith('F') ? Number(id.slice(1)) : 1_000);

/** In the order of their numbers; S1 is static stability. */
export const faults: readonly Fault[] = [
  ...processFaults,
  ...networkFaults,
  ...backlogFaults,
  ...outageFaults,
  ...storeFaults,
  ...messageFaults,
  ...stormFaults,
].sort((a, b) => order(a.id) - order(b.id));

/** Of what was made of faults, by their numbers. */
export const inOrder = (a: { readonly fault: string }, b: { readonly fault: string }): number =>
  order(a.fault.split(' ')[0] ?? '') - order(b.fault.split(' ')[0] ?? '');

export const unbuilt: readonly Unbuilt[] = [
  { id: 'F9', text: 'clocks step', reason: 'made by the simulator only: there is no libfaketime among the servers' },
  { id: 'F11', text: 'a file system turns read-only', reason: 'not made yet' },
  { id: 'F12', text: 'a slow disk', reason: 'not made yet' },
  { id: 'F13', text: 'power loss', reason: 'npm run powercut' },
  { id: 'F24', text: 'PostgreSQL fails over to a replica', reason: 'a cell has one PostgreSQL' },
  { id: 'F29', text: 'the workflow engine is away', reason: 'there are no workflows yet' },
  { id: 'F31', text: 'a user moves mid-flight', reason: 'homes do not move yet' },
];

/** "F16", "F16 cut", "S1" … Throws on what is not in the list. */
export function pickFaults(wanted: readonly string[]): readonly Fault[] {
  return wanted.flatMap((one) => {
    const found = faults.filter((fault) => (fault.id === one && !fault.long) || nameOf(fault) === one);
    if (found.length > 0) return found;
    const reason = unbuilt.find(({ id }) => id === one)?.reason;
    throw new Error(reason === undefined ? `there is no fault ${one}; see --list` : `${one} is not made here: ${reason}`);
  });
}
