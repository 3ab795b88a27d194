import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { forgetInstallation, installations, noteInstallation } from '../../../src/platform/host/installations.ts';
import { renderUnit } from '../../../src/platform/host/systemd.ts';
import { testSettings } from '../../support/settings.ts';

describe('what needs the accounts', () => {
  let directory: string;
  const at = (name: string): string => join(directory, name);
  const places = () => ({ run: at('run'), notes: at('notes'), units: at('units'), standard: at('standard') });
  const found = (): Record<string, string> => Object.fromEntries(installations(places()));

  /** A data directory, with or without an installation. */
  function data(name: string, installed = true): string {
    mkdirSync(at(name));
    if (installed) writeFileSync(join(at(name), 'settings.json'), JSON.stringify(testSettings({ id: 'std' })));
    return at(name);
  }

  /** A run directory, as a supervisor of that data leaves it. */
  function running(id: string, of: string | null): void {
    mkdirSync(join(at('run'), `cupola-${id}`), { recursive: true });
    if (of !== null) writeFileSync(join(at('run'), `cupola-${id}/supervisor.command`), `node\nmain.ts\n${of}\n`);
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cupola-installations-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('installations that have data or are being put up, and none whose data is gone', () => {
    running('abc', data('kept'));
    running('new', null);
    running('old', at('gone'));
    noteInstallation({ id: 'old', dataDirectory: at('gone') }, places());
    mkdirSync(at('run/cupola-network'));
    writeFileSync(at('run/cupola-xyz.lock'), '');
    assert.deepEqual(found(), { abc: at('kept'), new: at('run/cupola-new') });
    noteInstallation({ id: 'new', dataDirectory: data('first') }, places());
    assert.deepEqual(found(), { abc: at('kept'), new: at('first') });
  });

  test('one that was down when the machine was booted, though nothing of it is in /run', () => {
    noteInstallation({ id: 'abc', dataDirectory: data('kept') }, places());
    noteInstallation({ id: 'abc', dataDirectory: at('kept') }, places());
    noteInstallation({ id: 'far', dataDirectory: '/mnt/not-mounted-yet/cupola' }, places());
    assert.deepEqual(found(), { abc: at('kept'), far: '/mnt/not-mounted-yet/cupola' });
    forgetInstallation({ id: 'abc' }, places());
    assert.deepEqual(found(), { far: '/mnt/not-mounted-yet/cupola' });
    forgetInstallation({ id: 'far' }, places());
    assert.deepEqual(found(), {});
    assert.equal(existsSync(at('notes')), false, 'the last note takes its directory along');
  });

  test('one that stays, while the note, the unit or the run directory of another is removed', () => {
    noteInstallation({ id: 'abc', dataDirectory: data('kept') }, places());
    mkdirSync(at('units'));
    running('run', null);
    // Each is still listed, and not to be read any more.
    for (const name of ['notes/two', 'units/cupola-two.service', 'run/cupola-run/supervisor.command'])
      symlinkSync(at('gone'), at(name));
    assert.deepEqual(found(), { abc: at('kept'), run: at('run/cupola-run') });
  });

  test('none that is going, though its data is there still, unless it is put up again', () => {
    running('std', data('standard'));
    forgetInstallation({ id: 'std' }, places());
    assert.deepEqual(found(), {});
    noteInstallation({ id: 'std', dataDirectory: at('standard') }, places());
    assert.deepEqual(found(), { std: at('standard') });
    rmSync(at('notes'), { recursive: true });
    assert.deepEqual(found(), { std: at('standard') }, 'it is no longer going');
  });

  test('one that a version without notes has put up, by its unit or at the place that needs no option', () => {
    const settings = testSettings({ id: 'abc', dataDirectory: '/srv/100% my own' });
    mkdirSync(at('units'));
    writeFileSync(
      at('units/cupola-abc.service'),
      renderUnit({ settings, node: '/usr/bin/node', main: '/opt/x/src/platform/supervisor-main.ts', logFile: '/log' }),
    );
    writeFileSync(at('units/other.service'), '[Unit]\n');
    data('standard');
    assert.deepEqual(found(), { abc: '/srv/100% my own', std: at('standard') });
    writeFileSync(at('standard/settings.json'), '{');
    assert.deepEqual(
      Object.values(found()),
      ['/srv/100% my own', at('standard')],
      'though its settings cannot be read',
    );
  });

  test('where the machine takes no notes that is told by the name of their directory', () => {
    const notes = '/sys/cupola'; // where nobody may make a directory
    assert.throws(() => noteInstallation({ id: 'abc', dataDirectory: '/data' }, { ...places(), notes }), {
      code: 'not_writable',
      message: /^\/sys\/cupola cannot be changed: /,
    });
  });
});
