import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import Type, { type TProperties, type TSchema } from 'typebox';
import { DATA_OPTION } from '../../../src/platform/settings/data-option.ts';
import { SETTING_OPTIONS } from '../../../src/platform/settings/options.ts';
import { SETTING_NAMES } from '../../../src/platform/settings/said.ts';
import { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { ROOT } from '../../support/project-files.ts';

const PAGE = join(ROOT, 'docs/settings.md');

const HEAD = `# Settings

What \`./cupola up\` can be told of an installation, and what it keeps in \`settings.json\` of the data directory. Written from the
declaration in \`src/platform/settings/\` by \`UPDATE_GOLDEN=1 node --test test/unit/house/settings-page.test.ts\`; not by hand.

## Options of \`./cupola up\`

"Any \`up\`": it may be said anew, and what runs knows of it from its next start. "Installed": it is chosen at the first \`up\`; another value is
refused until the installation is destroyed. Options with \`…\` may be given several times. \`--data\` is every command's: another directory is
another installation. What each means for the operator: [operator.md](operator.md).
`;

const CHOSEN = `
## Chosen at the installation

No option sets them.
`;

/** A table of Markdown, its columns aligned as the formatter aligns them. */
function table(head: string[], rows: string[][]): string {
  const all = [head, ...rows].map((row) => row.map((text) => text.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: string[]): string => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`;
  const [names, ...others] = all.map(line);
  return ['', names, line(widths.map((width) => '-'.repeat(width))), ...others, ''].join('\n');
}

function descriptionOf(shape: TSchema): string {
  return 'description' in shape ? String(shape.description) : '';
}

/** Every place in settings.json, one below another with a dot, and what is said of it. */
function places(properties: TProperties, above = ''): [string, string][] {
  return Object.entries(properties).flatMap(([name, shape]): [string, string][] => {
    const description = descriptionOf(shape);
    if (Type.IsObject(shape) && description === '') return places(shape.properties, `${above}${name}.`);
    return [[`${above}${name}`, description]];
  });
}

const settable = new Set<string>([DATA_OPTION.setting, ...SETTING_NAMES.map((name) => SETTING_OPTIONS[name].setting)]);

function render(): string {
  const { flag, takes, help, unlessTold, setting } = DATA_OPTION;
  const data = [`\`--${flag} ${takes}\``, help, unlessTold, 'another installation', `\`${setting}\``];
  const options = SETTING_NAMES.map((name) => {
    const { flag, takes, many, setting, unlessTold, afterwards, help } = SETTING_OPTIONS[name];
    const spelled = `\`--${flag} ${takes}\`${many ? '…' : ''}`;
    return [spelled, help, unlessTold, 'set' in afterwards ? 'any `up`' : 'installed', `\`${setting}\``];
  });
  const chosen = places(PlatformSettings.properties)
    .filter(([place]) => !settable.has(place))
    .map(([place, description]) => [`\`${place}\``, description]);
  return [
    HEAD,
    table(['Option', 'What it is', 'Unless told', 'Changes at', 'In settings.json'], [data, ...options]),
    CHOSEN,
    table(['In settings.json', 'What it is'], chosen),
  ].join('');
}

describe('the page of settings', () => {
  test('every setting has an option, or says what it is', () => {
    const silent = places(PlatformSettings.properties)
      .filter(([place, description]) => !settable.has(place) && description === '')
      .map(([place]) => place);
    assert.deepEqual(silent, []);
  });

  test('every option leads to a setting that there is', () => {
    const known = new Set(places(PlatformSettings.properties).map(([place]) => place));
    assert.deepEqual(
      [...settable].filter((place) => !known.has(place)),
      [],
    );
  });

  test('docs/settings.md says what is declared', () => {
    if (process.env['UPDATE_GOLDEN']) writeFileSync(PAGE, render());
    assert.equal(readFileSync(PAGE, 'utf8'), render());
  });
});
