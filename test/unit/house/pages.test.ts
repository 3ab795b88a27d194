import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { EVENTS } from '../../../src/cloud-controller/audit-events/catalogue.ts';
import { commandsPage } from '../../support/commands-page.ts';
import { advised, auditEventsPage, decisionsPage, errorsPage, thrownCodes } from '../../support/pages.ts';
import { permissionsPage } from '../../support/permissions-page.ts';
import { projectFiles, ROOT } from '../../support/project-files.ts';
import { statusPage } from '../../support/status-page.ts';
import { uaaPermissionsPage } from '../../support/uaa-permissions-page.ts';

/** Each page, made of declarations and, where people write to them, of what stands there. */
const PAGES: Readonly<Record<string, (before: string) => string | Promise<string>>> = {
  'docs/audit-events.md': auditEventsPage,
  'docs/commands.md': commandsPage,
  'docs/decisions/README.md': decisionsPage,
  'docs/errors.md': errorsPage,
  'docs/permissions.md': permissionsPage,
  'docs/status.md': statusPage,
  'docs/uaa-permissions.md': uaaPermissionsPage,
};

const read = (path: string): string => (existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), 'utf8') : '');

describe('a page that is made of declarations', () => {
  for (const [path, made] of Object.entries(PAGES)) {
    it(`says what they say, no more and no less: ${path} (UPDATE_GOLDEN=1 writes it)`, async () => {
      const page = await made(read(path));
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(join(ROOT, path), page);
      assert.equal(read(path), page);
    });
  }

  it('says what to do about each code that is thrown', () => {
    const advice = advised(read('docs/errors.md'));
    assert.ok(thrownCodes().size > 100, `${thrownCodes().size} codes`);
    assert.deepEqual(
      [...thrownCodes().keys()].filter((code) => !advice.get(code)),
      [],
    );
  });
});

describe('the catalogue of audit events', () => {
  it('has no kind that is never recorded', () => {
    const named = /'((?:audit\.|app\.crash)[^'\s]*)'|`(audit\.[^`\s]*)`/g;
    const words = projectFiles()
      .filter((path) => path.startsWith('src/cloud-controller/') && !path.endsWith('/catalogue.ts'))
      .flatMap((path) => [...read(path).matchAll(named)])
      .map(([, plain, template]) => plain ?? template!)
      .map((word) => new RegExp(`^${word.replaceAll(/\$\{[^}]+\}/g, '[a-z_]+').replaceAll('.', '\\.')}$`));
    assert.deepEqual(
      Object.keys(EVENTS).filter((type) => !words.some((word) => word.test(type))),
      [],
    );
  });
});
