// What a process of ours tells at its metrics port.

const answerMsMax = 5_000;

/** The metrics as text. Every question has a connection of its own: one kept open may be closed by a process that is just being killed. */
export async function metricsOf(server: { readonly host?: string; readonly ports: readonly number[] } | undefined): Promise<string> {
  if (server === undefined) throw new Error('no such process');
  const url = `http://${server.host ?? '127.0.0.1'}:${server.ports[1]}/metrics`;
  return await (await fetch(url, { headers: { connection: 'close' }, signal: AbortSignal.timeout(answerMsMax) })).text();
}

/** One metric, summed over those of its labels that hold `label`; 0 when there is none. */
export function metricIn(text: string, name: string, label = ''): number {
  const lines = text.split('\n').filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
