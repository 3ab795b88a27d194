import { isSame } from '../../kit/process.ts';
import type { Component } from '../components/component.ts';
import { Supervised } from '../components/supervised.ts';
import type { Layout } from '../layout.ts';
import { type ProcessNotes, type RecordedProcess, readRestarts, writeProcesses, writeRestarts } from '../processes.ts';
import { CONTROL } from '../roles/cut.ts';
import { SEPARABLE } from '../roles/names.ts';

/** Each component with the processes of it that run already. */
export function adoptAll(components: readonly Component[], running: ProcessNotes, layout: Layout): Supervised[] {
  const restarts = readRestarts(layout.restartsFile);
  const own = components.flatMap(({ name }) => running[name] ?? []);
  return components.map((component) => {
    const supervised = new Supervised(component, running[component.name] ?? null, restarts[component.name]);
    for (const [name, identity] of Object.entries(running)) {
      const leaves = name.startsWith(`${component.name} `) && !own.some((one) => isSame(one, identity));
      if (leaves) supervised.leaving.push(identity);
    }
    return supervised;
  });
}

/**
 * Each process with a role of control, once more, as one that leaves control: so a supervisor that knows of no such process (one of a
 * version before takes over again, or the role is control's own again) takes it along and ends it with control.
 */
function partsOfControl(serving: readonly (readonly [string, RecordedProcess])[]) {
  const roles: readonly string[] = SEPARABLE;
  return serving
    .filter(([name]) => roles.includes(name))
    .map(([, process]) => [`${CONTROL} ${process.pid}`, process] as const);
}

/** Writes down for the next supervisor what runs, what still leaves, and how often each was restarted. */
export function noteAll(all: readonly Supervised[], { processesFile, restartsFile }: Layout): void {
  const serving = all.flatMap(({ component, note }) => (note ? [[component.name, note] as const] : []));
  const leaving = all.flatMap((one) =>
    one.stillLeaving().map((identity) => [`${one.component.name} ${identity.pid}`, identity] as const),
  );
  writeProcesses(processesFile, Object.fromEntries([...serving, ...leaving, ...partsOfControl(serving)]));
  writeRestarts(restartsFile, Object.fromEntries(all.map(({ component, restarts }) => [component.name, restarts])));
}
