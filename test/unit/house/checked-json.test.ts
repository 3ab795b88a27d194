import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFiles, ROOT } from '../../support/project-files.ts';

/** Where JSON is believed, and why; everything else is checked as it is read (kit/checked.ts). */
const BELIEVED: Readonly<Record<string, string>> = {
  'src/cloud-controller/apps/sealed-variables.ts': 'sealed under our key',
  'src/cloud-controller/environment-variable-groups/store.ts': 'sealed under our key',
  'src/cloud-controller/manifests/plan.ts': 'sealed under our key',
};

/** A text whose JSON is taken for what its reader wants, a generic answer of a library, or a cast around every check. */
const BELIEVES = [/JSON\.parse\([^;]*\) as /, /\.json\(\) as |\.json<(?!\{ \w+\?: unknown \}>)/, /as unknown as /];

const believes = (text: string): boolean => BELIEVES.some((pattern) => pattern.test(text));

test('what a file, a socket or a service says is checked before it is believed', () => {
  const sources = projectFiles().filter((path) => /^(src|bench)\/.*\.ts$/.test(path));
  const found = sources.filter((path) => believes(readFileSync(join(ROOT, path), 'utf8')));
  assert.deepEqual(found, Object.keys(BELIEVED));
});

test('the rule finds what it forbids', () => {
  const forbidden = [
    "const a = JSON.parse(await readFile(path, 'utf8')) as Settings;",
    'return JSON.parse(\n  text,\n) as T;',
    'message.json<Event>()',
    '(await answer.json()) as unknown as Answer',
  ];
  for (const text of forbidden) assert.equal(believes(text), true, text);
  const allowed = ['const value: unknown = JSON.parse(text);', 'response.json<{ token?: unknown }>()', 'x as const'];
  for (const text of allowed) assert.equal(believes(text), false, text);
});
