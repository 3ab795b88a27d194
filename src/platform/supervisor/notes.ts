import type { Component } from '../components/component.ts';
import { Supervised } from '../components/supervised.ts';
import type { Layout } from '../layout.ts';
import { type ProcessNotes, readRestarts, writeProcesses, writeRestarts } from '../processes.ts';

/** Each component with the processes of it that run already. */
export function adoptAll(components: readonly Component[], running: ProcessNotes, layout: Layout): Supervised[] {
  const restarts = readRestarts(layout.restartsFile);
  return components.map((component) => {
    const supervised = new Supervised(component, running[component.name] ?? null, restarts[component.name]);
    for (const [name, identity] of Object.entries(running)) {
      if (name.startsWith(`${component.name} `)) supervised.leaving.push(identity);
    }
    return supervised;
  });
}

/** Writes down for the next supervisor what runs, what still leaves, and how often each was restarted. */
export function noteAll(all: readonly Supervised[], { processesFile, restartsFile }: Layout): void {
  const serving = all.flatMap(({ component, note }) => (note ? [[component.name, note] as const] : []));
  const leaving = all.flatMap((one) =>
    one.stillLeaving().map((identity) => [`${one.component.name} ${identity.pid}`, identity] as const),
  );
  writeProcesses(processesFile, Object.fromEntries([...serving, ...leaving]));
  writeRestarts(restartsFile, Object.fromEntries(all.map(({ component, restarts }) => [component.name, restarts])));
}
