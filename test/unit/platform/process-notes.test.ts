import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { after, afterEach, test } from 'node:test';
import type { ProcessIdentity } from '../../../src/kit/process.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { readProcesses } from '../../../src/platform/processes.ts';
import { adoptAll, noteAll } from '../../../src/platform/supervisor/notes.ts';
import { testSettings } from '../../support/settings.ts';
import { endSleepers, sleeper } from '../../support/sleeper.ts';

const directory = mkdtempSync('/tmp/cupola-notes-');
const layout = {
  ...layoutOf(testSettings()),
  processesFile: `${directory}/p.json`,
  restartsFile: `${directory}/r.json`,
};
mkdirSync(directory, { recursive: true });
afterEach(endSleepers);
after(() => rmSync(directory, { recursive: true }));

const component = (name: string): Component => ({
  name,
  account: null,
  stopSignal: 'SIGTERM',
  fingerprint: () => '',
  start: sleeper,
});
/** What a supervisor finds that has these components. */
const adopt = (...names: string[]) => adoptAll(names.map(component), readProcesses(layout.processesFile), layout);
const pids = (identities: readonly ProcessIdentity[]) => identities.map(({ pid }) => pid);

test('ARCH-12: a process with a role is adopted as itself, and by who knows of no such process as one that leaves control', async () => {
  const first = adopt('uaa', 'control');
  for (const one of first) await one.tend();
  noteAll(first, layout);
  const [uaa, control] = first.map(({ identity }) => identity!.pid);

  const [sameUaa, sameControl] = adopt('uaa', 'control');
  assert.deepEqual([sameUaa?.identity?.pid, sameControl?.identity?.pid], [uaa, control]);
  assert.deepEqual(pids(sameControl!.stillLeaving()), []);

  // Also where that one writes down what it knows, and hands over again.
  for (let supervisor = 0; supervisor < 2; supervisor++) {
    const earlier = adopt('control');
    assert.deepEqual([earlier[0]?.identity?.pid, pids(earlier[0]!.stillLeaving())], [control, [uaa]]);
    noteAll(earlier, layout);
  }
});
