import { existsSync, mkdirSync } from 'node:fs';
import { makeDirectory } from '../../kit/owned-files.ts';
import { PROJECT } from '../../kit/project.js';
import type { Accounts } from '../host/accounts.ts';
import type { Layout } from '../layout.ts';
import { bindMount } from '../mounts.ts';

/** The database's clusters: one of each major version of PostgreSQL, and the one of before there were several. */
export async function showClusters({ settings, run }: Layout): Promise<void> {
  makeDirectory(`${run}/postgresql`, { mode: 0o755 });
  for (const [name, shown] of [
    ['postgresql', 'data'],
    ['databases', 'clusters'],
  ] as const) {
    const directory = `${settings.dataDirectory}/${name}`;
    if (!existsSync(directory)) makeDirectory(directory, { mode: 0o755 });
    await bindMount(directory, `${run}/postgresql/${shown}`, 'read-write');
  }
}

/** What other accounts may walk to lies under /run; the data directory itself stays closed. */
export async function prepareDirectories(layout: Layout, accounts: Accounts): Promise<void> {
  const { settings, run } = layout;
  for (const name of ['control', 'logs', 'buildpacks', 'cells']) {
    mkdirSync(`${settings.dataDirectory}/${name}`, { recursive: true, mode: 0o700 });
  }
  await showClusters(layout);
  makeDirectory(`${settings.dataDirectory}/control`, { mode: 0o700, owner: accounts.control });
  await bindMount(`${settings.dataDirectory}/control`, `${run}/control`, 'read-write');
  makeDirectory(layout.buildpacks, { mode: 0o755 });
  await bindMount(layout.buildpacks, `${run}/buildpacks`, 'read-only');
  await bindMount(PROJECT, layout.program, 'read-only');
}
