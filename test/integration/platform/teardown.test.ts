import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createGarden } from '../../../src/cell/garden/create-garden.ts';
import { makeSharedMount, mountOptions, mountsBelow } from '../../../src/cell/garden/mounts.ts';
import { teardownGarden } from '../../../src/cell/garden/teardown.ts';
import { createVolume, formatImage } from '../../../src/cell/garden/volume.ts';
import { realDirectory } from '../../../src/kit/owned-files.ts';
import { run } from '../../../src/kit/process.ts';
import { gardenSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { bindMount } from '../../../src/platform/mounts.ts';
import { requireWhole } from '../../../src/platform/removal.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import { loadSettings, lockFileOf } from '../../../src/platform/settings/store.ts';
import { removeData } from '../../../src/platform/teardown.ts';
import { tar } from '../../support/archives.ts';
import { containerSpec, GARDEN_SKIP, runShell, STACKS } from '../../support/garden.ts';
import { silentLog } from '../../support/postgresql.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : false;
const MIB = 1024 * 1024;

describe('what is mounted in a data directory', { skip: SKIP }, () => {
  let parent: string;
  const at = (name: string): string => join(parent, name);
  const mountDisk = async (place: string): Promise<void> => {
    mkdirSync(place, { recursive: true });
    await run('mount', ['-t', 'tmpfs', 'none', place]);
  };

  beforeEach(() => {
    parent = realDirectory(mkdtempSync('/tmp/cupola-teardown-'));
  });
  afterEach(async () => {
    for (const point of mountsBelow(parent)) await run('umount', [point]);
    rmSync(parent, { recursive: true });
  });

  /** A data directory with a garden of its own mount, and a disk of a container's mounted in it. */
  async function fill(data: string): Promise<void> {
    const garden = join(data, 'cells/cell-0/garden');
    mkdirSync(garden, { recursive: true });
    makeSharedMount(garden);
    const image = join(garden, 'volume.img');
    await createVolume(image, join(garden, 'volume'), () => formatImage(image, 4 * MIB));
    for (const name of ['settings.json', 'key', 'cells/cell-0/garden/volume/file'])
      writeFileSync(join(data, name), 'secret');
  }

  test('what was installed on a disk of the operator’s is deleted from it, and the disk stays where it is mounted', async () => {
    const [disk, plain] = [at('disk'), at('plain')];
    await mountDisk(disk);
    mkdirSync(plain);
    for (const directory of [disk, plain]) await fill(directory);
    assert.deepEqual(await removeData(disk), [disk]);
    assert.deepEqual(await removeData(plain), []);
    assert.deepEqual(mountsBelow(parent), [disk]);
    assert.deepEqual(readdirSync(disk), []);
    assert.equal(existsSync(plain), false);
    const loops = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
    assert.equal(loops.includes(parent), false, 'no disk of a container is left');
  });

  test('what is half deleted is known as that until all is gone, also after a reboot', async () => {
    const data = at('data');
    await fill(data);
    requireWhole(data);
    assert.deepEqual(await removeData(data, { forGood: false }), []);
    assert.deepEqual(readdirSync(data).sort(), ['being-destroyed', 'settings.json']);
    assert.throws(() => requireWhole(data), { code: 'destroy_unfinished' });
    await removeData(data);
    assert.equal(existsSync(data), false);
  });

  test('a disk, or a directory, of the operator’s that is mounted deeper is emptied too, and stays mounted', async () => {
    const data = at('data');
    await fill(data);
    const aside = at('aside');
    mkdirSync(join(aside, 'inner'), { recursive: true });
    mkdirSync(join(data, 'control/blobs'), { recursive: true });
    await run('mount', ['--bind', aside, join(data, 'control/blobs')]);
    await mountDisk(join(data, 'postgresql'));
    mkdirSync(join(data, 'postgresql/base'));
    mkdirSync(join(data, 'postgresql/lost+found'));
    for (const place of ['postgresql/base', 'postgresql', 'control/blobs/inner', 'control', 'control/blobs'])
      writeFileSync(join(data, place, 'file'), 'secret');
    const mine = [join(data, 'control/blobs'), join(data, 'postgresql')];
    assert.deepEqual((await removeData(data)).sort(), mine);
    assert.deepEqual(mountsBelow(parent).sort(), mine);
    assert.deepEqual(readdirSync(aside), []);
    assert.deepEqual(readdirSync(join(data, 'postgresql')), ['lost+found'], 'which is the disk’s own');
    assert.deepEqual(readdirSync(data).sort(), ['control', 'postgresql']);
    assert.deepEqual(readdirSync(join(data, 'control')), ['blobs']);
    for (const place of mine) await run('umount', [place]);
    assert.deepEqual(await removeData(data), [], 'it can be called again');
    assert.equal(existsSync(data), false);
  });

  test('a disk of the operator’s that stands on what the platform mounted is emptied before that goes', async () => {
    const data = at('data');
    await fill(data);
    const image = at('image');
    await formatImage(image, 4 * MIB);
    const place = join(data, 'cells/cell-0/garden/layers');
    mkdirSync(place);
    await run('mount', ['-o', 'loop', image, place]);
    writeFileSync(join(place, 'file'), 'secret');
    assert.deepEqual(await removeData(data), []);
    assert.equal(existsSync(data), false);
    await run('mount', ['-o', 'loop', image, parent]);
    assert.deepEqual(readdirSync(parent), ['lost+found']);
    await run('umount', [parent]);
  });

  test('a place that was shown and not yet closed is closed by the next start', async () => {
    const [source, target] = [at('source'), at('target')];
    for (const directory of [source, target]) mkdirSync(directory);
    await run('mount', ['--bind', source, target]);
    await bindMount(source, target, 'read-only');
    for (const option of ['ro', 'nosuid', 'nodev']) assert.ok(mountOptions(target)?.includes(option), option);
    await bindMount(source, target, 'read-only');
    assert.deepEqual(mountsBelow(target), [target], 'once');
  });

  test('a data directory behind a link of root’s: what is mounted there is found again, and goes', {
    skip: GARDEN_SKIP,
  }, async () => {
    const [real, link] = [at('disk/real'), at('named')];
    mkdirSync(at('disk'));
    symlinkSync('disk/real', link);
    mkdirSync(real);
    const settings = await ensureSettings({ dataDirectory: link });
    assert.equal(settings.dataDirectory, real);
    assert.equal(loadSettings(link)?.dataDirectory, real);
    assert.equal(lockFileOf(link), lockFileOf(real));
    const layout = layoutOf(settings);
    // The cell of one that was put up by a version that kept the link, and the cells of after.
    const { rootDirectory } = gardenSettingsOf(layout, 0, silentLog);
    const cell = { ...gardenSettingsOf(layout, 0, silentLog), stacksDirectory: STACKS, hasRoom: async () => true };
    const former = { ...cell, rootDirectory: rootDirectory.replace(real, link) };
    try {
      let garden = await createGarden(former);
      await garden.close();
      const layer = {
        format: 'tar' as const,
        open: async () => Readable.from([tar([{ name: 'file', content: 'x' }])]),
      };
      garden = await createGarden(cell);
      const layers = [await garden.ensureLayer('layer', layer, '/home/vcap', 'debian12')];
      await garden.create(containerSpec('kept', { layers }));
      await garden.close();
      const mounted = mountsBelow(parent);
      garden = await createGarden(cell);
      assert.deepEqual(mountsBelow(parent), mounted, 'another start mounts nothing anew');
      assert.equal((await runShell((await garden.lookup('kept'))!, 'cat file')).output, 'x');
      assert.equal(await garden.readLayers(layers, 'home/vcap/file'), 'x', 'layers are taken over');
      await garden.close();
    } finally {
      await teardownGarden(cell);
      rmSync(layout.run, { recursive: true, force: true });
    }
    assert.deepEqual(await removeData(settings.dataDirectory), []);
    assert.equal(existsSync(real), false);
    assert.deepEqual(mountsBelow(parent), []);
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(layout.run), false);
  });

  test('an installation keeps its id, and with it its run directory, whatever its data directory is called', async () => {
    const settings = await ensureSettings({ dataDirectory: at('real') });
    // As a version wrote it that kept the link.
    const stored = { ...settings, id: 'old', dataDirectory: at('link'), keyFile: join(at('link'), 'key') };
    writeFileSync(join(at('real'), 'settings.json'), JSON.stringify(stored));
    symlinkSync(at('real'), at('link'));
    for (const name of [at('link'), at('real')]) {
      const { id, dataDirectory, keyFile } = loadSettings(name)!;
      assert.deepEqual(
        { id, dataDirectory, keyFile },
        { id: 'old', dataDirectory: at('real'), keyFile: join(at('real'), 'key') },
      );
      assert.equal(lockFileOf(name), '/run/cupola-old.lock');
      assert.equal((await ensureSettings({ dataDirectory: name })).id, 'old');
    }
  });
});
