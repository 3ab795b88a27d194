import { mkdirSync } from 'node:fs';
import { makeDirectory } from '../../kit/owned-files.ts';
import { PROJECT } from '../../kit/project.js';
import type { Accounts } from '../host/accounts.ts';
import type { Layout } from '../layout.ts';
import { bindMount } from '../mounts.ts';

/** What other accounts may walk to lies under /run; the data directory itself stays closed. */
export async function prepareDirectories(layout: Layout, accounts: Accounts): Promise<void> {
  const { settings, run } = layout;
  for (const name of ['postgresql', 'control', 'logs', 'buildpacks', 'cells']) {
    mkdirSync(`${settings.dataDirectory}/${name}`, { recursive: true, mode: 0o700 });
  }
  makeDirectory(`${run}/postgresql`, { mode: 0o755 });
  await bindMount(`${settings.dataDirectory}/postgresql`, `${run}/postgresql/data`, 'read-write');
  makeDirectory(`${settings.dataDirectory}/control`, { mode: 0o700, owner: accounts.control });
  await bindMount(`${settings.dataDirectory}/control`, `${run}/control`, 'read-write');
  makeDirectory(layout.buildpacks, { mode: 0o755 });
  await bindMount(layout.buildpacks, `${run}/buildpacks`, 'read-only');
  await bindMount(PROJECT, layout.program, 'read-only');
}
