import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROJECT } from '../../kit/project.js';
import { takeInventory } from '../../platform/inventory/inventory.ts';
import type { Inventory, Part } from '../../platform/inventory/software.ts';
import { layoutOf } from '../../platform/layout.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import { loadSettings } from '../../platform/settings/store.ts';
import { command } from '../command.ts';
import { dataDirectory, requireRoot, say } from '../options.ts';
import { table } from '../table.ts';

export const inventory = command({
  flags: { json: { type: 'boolean', help: 'a software bill of materials, CycloneDX 1.6 in JSON' } },
  about: [
    'It reads what lies there: images, stacks, the zips of buildpacks, and what npm installed. The platform need not run; where it does, processes say which image they run of. An image that is only kept to go back to is not in it.',
    'What no file tells is said below, in JSON as cupola:unknown.',
  ],
  examples: ['./cupola inventory', './cupola inventory --json > cupola.cdx.json'],
  async run({ values }) {
    requireRoot();
    const settings = loadSettings(dataDirectory(values.data));
    const project = settings === null ? PROJECT : projectOf(settings);
    const taken = await takeInventory(settings, project);
    if (!values.json) {
      say(described(taken));
      return 0;
    }
    const { cyclonedx } = await import('../../platform/inventory/cyclonedx.ts');
    say(cyclonedx(taken));
    return 0;
  },
});

/** Of the code that the supervisor was started from: a checkout beside it may have another. */
function projectOf(settings: PlatformSettings): string {
  const { supervisorCommand } = layoutOf(settings);
  const main = existsSync(supervisorCommand) ? readFileSync(supervisorCommand, 'utf8').split('\n')[1] : undefined;
  const project = main === undefined ? PROJECT : join(dirname(main), '../..');
  return existsSync(join(project, 'package-lock.json')) ? project : PROJECT;
}

function described({ parts, unknown }: Inventory): string {
  const notKnown = ['not in it', ...unknown.map((sentence) => `  ${sentence}`)];
  return [...parts.map(partLines), notKnown].map((lines) => lines.join('\n')).join('\n\n');
}

function partLines({ kind, name, version, runsIn, packages }: Part): string[] {
  const heading = kind === 'engines' ? `engines ${version}` : `${kind} ${name} ${version}`;
  const rows = packages
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((one) => [`  ${one.name}`, one.version, one.usedFor]);
  return [`${heading}: ${runsIn}`, ...table(rows)];
}
