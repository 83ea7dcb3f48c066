import assert from 'node:assert/strict';
import { heartbeatMs, ProofScene } from './proof-scene.ts';

/** Entries between two words of the owner. */
const perBeat = 100;
/** A scene keeps all of its log. */
const perScene = 100_000;

/** So many events as they are, a word of the owner and a heartbeat after each hundred: nothing may be reported. The result is events a second. */
export async function sayClean(events: number): Promise<number> {
  const startMs = performance.now();
  for (let done = 0; done < events; done += perScene) {
    const scene = await ProofScene.open();
    for (let said = 0; said < Math.min(perScene, events - done); said += perBeat) {
      for (let i = 0; i < perBeat; i++) scene.say('a message of about forty bytes, ordinary');
      scene.beat();
      await scene.clock.advance(5);
    }
    await scene.clock.advance(heartbeatMs);
    assert.deepEqual(scene.reports, []);
    await scene.close();
  }
  return Math.round(events / ((performance.now() - startMs) / 1_000));
}
