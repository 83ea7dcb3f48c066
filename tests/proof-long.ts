// The long form of "clean events raise nothing": node tests/proof-long.ts [events], a million by default, about a minute.
import { sayClean } from './proof-clean.ts';

const events = Number(process.argv[2] ?? 1_000_000);
console.log(`${events} clean events, nothing reported, ${await sayClean(events)} a second`);
