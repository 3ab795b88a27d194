import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { unmountBelow } from '../../../src/cell/garden/mounts.ts';
import { createVolume, formatImage, isVolumeFull } from '../../../src/cell/garden/volume.ts';
import { stackRoot } from '../../../src/cell/stack/stack.ts';
import { buildpackDirectory, prepareBuildpack } from '../../../src/cell/staging/buildpack-layers.ts';
import type { Buildpack } from '../../../src/contracts/gen/diego_pb.js';
import { codeOf } from '../../../src/kit/errors.ts';
import { tar, zip } from '../../support/archives.ts';
import { eventually } from '../../support/fake-control.ts';
import { containerSpec, GARDEN_SKIP, runShell, startTestGarden, type TestGarden } from '../../support/garden.ts';

const source = (format: 'tar' | 'zip', content: Buffer) => ({ format, open: async () => Readable.from([content]) });

describe('garden layers', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  before(async () => {
    t = await startTestGarden('tgf', '10.231.6.0/24');
  });
  after(() => t.stop());

  test('CTR-02: a container is stack, layers and its own writable top; layers are shared and stay as they are', async () => {
    const droplet = gzipSync(
      tar([
        { name: './app/', type: 'directory' },
        { name: './app/index', content: 'hello' },
      ]),
    );
    const tools = zip([{ name: 'bin/tool', content: '#!/bin/sh\necho tool\n', mode: 0o755 }]);
    const layers = [
      await t.garden.ensureLayer('tools', source('zip', tools), '/tmp/buildpacks/0', 'debian12'),
      await t.garden.ensureLayer('droplet', source('tar', droplet), '/home/vcap', 'debian12'),
    ];
    const one = await t.garden.create(containerSpec('one', { layers }));
    const two = await t.garden.create(containerSpec('two', { layers }));
    const look = 'cat app/index; /tmp/buildpacks/0/bin/tool; stat -c "%U %a" app/index . /tmp /tmp/buildpacks/0';
    assert.equal((await runShell(one, look)).output, 'hellotool\nvcap 644\nvcap 750\nroot 1777\nvcap 755\n');
    assert.equal(
      (await runShell(one, 'echo changed > app/index && rm /tmp/buildpacks/0/bin/tool && echo ok')).output,
      'ok\n',
    );
    assert.equal((await runShell(two, look)).output, 'hellotool\nvcap 644\nvcap 750\nroot 1777\nvcap 755\n');
    await t.garden.pruneLayers();
    assert.equal((await runShell(two, 'cat app/index')).output, 'hello');
    await t.garden.destroy('one');
    await t.garden.destroy('two');
    await t.garden.pruneLayers((key) => key === 'tools');
    await assert.rejects(t.garden.create(containerSpec('three', { layers })), { code: 'layer_missing' });
    await t.garden.pruneLayers();
    assert.deepEqual(await readdir(`${t.settings.rootDirectory}/layers`), []);
  });

  test('a zip of the machine’s own is read where it lies, and left there; one that is not what it is called becomes no layer', async () => {
    const directory = await mkdtemp('/tmp/cupola-own-zip-');
    try {
      const file = join(directory, 'own.zip');
      const content = zip([{ name: 'bin/tool', content: '#!/bin/sh\necho own\n', mode: 0o755 }]);
      await writeFile(file, content, { mode: 0o644 });
      const sha256 = createHash('sha256').update(content).digest('hex');
      const own = { file, stack: 'debian12' };
      await assert.rejects(prepareBuildpack(t.garden, { ...own, sha256: '0'.repeat(64) }), {
        code: 'blob_digest_mismatch',
      });
      assert.deepEqual(await readdir(`${t.settings.rootDirectory}/layers`), []);
      await prepareBuildpack(t.garden, { ...own, sha256 });
      assert.deepEqual(await readFile(file), content);
      await rm(file);
      await prepareBuildpack(t.garden, { ...own, sha256 }); // it is there
      const buildpack = { name: 'own', key: 'own', blob: { sha256 } } as Buildpack;
      const place = buildpackDirectory(buildpack);
      const layer = { key: `buildpack-${place}` };
      const one = await t.garden.create(containerSpec('own', { layers: [layer] }));
      const look = `/tmp/buildpacks/${place}/bin/tool; ls -A /tmp`;
      assert.equal((await runShell(one, look)).output, 'own\nbuildpacks\n');
      await t.garden.destroy('own');
      await t.garden.pruneLayers();
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('callers of one layer share the work, and a failure leaves nothing behind', async () => {
    let opened = 0;
    const open = async () => {
      opened++;
      return Readable.from([tar([{ name: 'x', content: 'x' }])]);
    };
    const ensure = () => t.garden.ensureLayer('shared', { format: 'tar', open }, '/home/vcap', 'debian12');
    assert.deepEqual(await Promise.all([ensure(), ensure(), ensure()]), Array(3).fill({ key: 'shared' }));
    assert.equal(opened, 1);
    const broken = { format: 'tar' as const, open: async () => Promise.reject(new Error('the blobstore is away')) };
    await assert.rejects(t.garden.ensureLayer('broken', broken, '/home/vcap', 'debian12'), /blobstore is away/);
    const cut = { format: 'tar' as const, open: async () => Readable.from(cutOff()) };
    await assert.rejects(t.garden.ensureLayer('broken', cut, '/home/vcap', 'debian12'), /connection lost/);
    const junk = source('zip', Buffer.from('no archive at all'));
    await assert.rejects(t.garden.ensureLayer('broken', junk, '/home/vcap', 'debian12'), { code: 'archive_refused' });
    await t.garden.pruneLayers();
    assert.deepEqual(await readdir(`${t.settings.rootDirectory}/layers`), []);
    assert.deepEqual(await readdir(`${t.settings.rootDirectory}/containers`), []);
  });

  const hostile: [string, 'tar' | 'zip', Buffer][] = [
    ['an absolute path', 'tar', tar([{ name: '/tmp/planted', content: 'x' }])],
    ['a path that climbs', 'tar', tar([{ name: '../../../tmp/planted', content: 'x' }])],
    [
      'a symbolic link out, then a file through it',
      'tar',
      tar([
        { name: 'out', type: 'symlink', link: '/tmp' },
        { name: 'out/planted', content: 'x' },
      ]),
    ],
    ['a hard link to a file of the system', 'tar', tar([{ name: 'planted', type: 'link', link: '/etc/shadow' }])],
    ['a device', 'tar', tar([{ name: 'planted', type: 'device' }])],
    ['a zip path that climbs', 'zip', zip([{ name: '../../../tmp/planted', content: 'x' }])],
    ['an absolute zip path', 'zip', zip([{ name: '/tmp/planted', content: 'x' }])],
    [
      'a zip symbolic link out, then a file through it',
      'zip',
      zip([
        { name: 'out', content: '/tmp', mode: 0o120777 },
        { name: 'out/planted', content: 'x' },
      ]),
    ],
  ];
  for (const [what, format, content] of hostile) {
    test(`SECURITY 24: ${what} in an archive touches nothing outside of the layer`, async () => {
      const layer = await t.garden
        .ensureLayer(what, source(format, content), '/home/vcap/app', 'debian12')
        .catch((error) => {
          assert.equal(error.code, 'archive_refused');
          return null;
        });
      const container = await t.garden.create(containerSpec('look', { layers: layer ? [layer] : [] }));
      const script =
        'find / -xdev -name planted -not -path "/home/vcap/app/*" 2>/dev/null; find /home/vcap/app \\( -type b -o -type c -o -links +1 -type f \\) 2>/dev/null; [ -r /etc/shadow ] && echo readable';
      assert.equal((await runShell(container, script)).output, '');
      await t.garden.destroy('look');
      const { existsSync } = await import('node:fs');
      for (const path of [
        '/tmp/planted',
        '/planted',
        `${stackRoot(t.settings.stacksDirectory, 'debian12')}/tmp/planted`,
      ]) {
        assert.equal(existsSync(path), false);
      }
      await t.garden.pruneLayers();
    });
  }

  test('SECURITY 24: a bomb ends at the bound of a layer', async () => {
    const small = await startTestGarden('tgg', '10.231.7.0/24', { layerLimitBytes: 32 * 1024 ** 2 });
    const bomb = gzipSync(tar([{ name: 'zeros', content: Buffer.alloc(64 * 1024 ** 2) }]));
    try {
      const limits = { diskBytes: 1024 ** 4 };
      for (const wanted of [{}, { limits }]) {
        await assert.rejects(small.garden.ensureLayer('bomb', source('tar', bomb), '/home/vcap', 'debian12', wanted), {
          code: 'layer_too_large',
        });
      }
      const halves = zip([{ name: 'zeros', content: Buffer.alloc(20 * 1024 ** 2) }]);
      await assert.rejects(small.garden.ensureLayer('halves', source('zip', halves), '/home/vcap', 'debian12'), {
        code: 'layer_too_large',
      });
      assert.deepEqual(await readdir(`${small.settings.rootDirectory}/layers`), []);
    } finally {
      await small.stop();
    }
  });

  test('SECURITY 24: an archive that has more than the app it is for may have is no layer; for an app that may, it is', async () => {
    const bomb = gzipSync(tar([{ name: 'zeros', content: Buffer.alloc(64 * 1024 ** 2) }]));
    const layer = (megabytes: number) =>
      t.garden.ensureLayer('large', source('tar', bomb), '/home/vcap', 'debian12', {
        limits: { diskBytes: megabytes * 1024 ** 2 },
      });
    const [little, enough] = await Promise.allSettled([layer(32), layer(128)]);
    assert.equal(little.status === 'rejected' && little.reason.code, 'layer_too_large');
    assert.equal(enough.status, 'fulfilled', 'though it waited for the same');
    await t.garden.pruneLayers();
  });

  test('SECURITY 25: a layer has room for files in the measure of its disk, the smallest too', async () => {
    const links = (count: number) =>
      tar(Array.from({ length: count }, (_, n) => ({ name: `${n}`, type: 'symlink', link: 'x' }) as const));
    const layer = (count: number, megabytes: number) =>
      t.garden.ensureLayer(`links-${count}-${megabytes}`, source('tar', links(count)), '/home/vcap', 'debian12', {
        limits: { diskBytes: megabytes * 1024 ** 2 },
      });
    await layer(15_000, 1);
    await assert.rejects(layer(20_000, 1), { code: 'layer_too_large' });
    await layer(20_000, 64);
    await t.garden.pruneLayers();
  });

  test('SECURITY 32: an unpacking has what its app may use, and ends with it; who waited has it begun anew', async () => {
    const opened: AbortSignal[] = [];
    const open = async (signal: AbortSignal) => {
      opened.push(signal);
      return Readable.from(begunOnly());
    };
    const limits = { memoryBytes: 96 * 1024 ** 2, cpuShares: 33 };
    const [one, other] = [new AbortController(), new AbortController()];
    const waiting = [one, other].map(({ signal }) =>
      t.garden.ensureLayer('endless', { format: 'tar', open }, '/home/vcap', 'debian12', { signal, limits }),
    );
    await eventually('it has the memory of the app', async () =>
      layerGroups('memory.limit_in_bytes', 'memory.max').includes(`${limits.memoryBytes}`),
    );
    // 33 shares of version 1 are 2 in version 2 (runc).
    await eventually('it has the shares of the app', async () =>
      ['33', '2'].includes(layerGroups('cpu.shares', 'cpu.weight')[0] ?? ''),
    );
    one.abort(new Error('one has left'));
    await assert.rejects(waiting[0]!, /one has left/);
    await eventually('it is begun anew', () => opened.length === 2 && layerGroups('pids.max').length === 1);
    other.abort(new Error('the other has left'));
    await assert.rejects(waiting[1]!, /the other has left/);
    await eventually('nothing of it is left', async () => layerGroups('pids.max').length === 0);
    assert.deepEqual(
      opened.map(({ aborted }) => aborted),
      [true, true],
    );
    const again = source('tar', tar([{ name: 'a', content: 'a' }]));
    await t.garden.ensureLayer('endless', again, '/home/vcap', 'debian12');
    await t.garden.pruneLayers();
    assert.deepEqual(await readdir(`${t.settings.rootDirectory}/layers`), []);
  });

  test('SECURITY 25: what a layer takes away is applied no longer than anybody waits for it', async () => {
    const stopping = new AbortController();
    let taken = 0;
    const removed = (function* () {
      for (; taken < 1000; taken += 1) {
        if (taken === 3) stopping.abort(new Error('stopped'));
        yield `${'d/'.repeat(9)}gone`;
      }
    })();
    const open = async () => Readable.from([tar([{ name: './d/', type: 'directory' }])]);
    const image = { format: 'image', open, whiteouts: () => ({ removed, opaque: [] }) } as const;
    const { signal } = stopping;
    await assert.rejects(t.garden.ensureLayer('whiteouts', image, '/', 'debian12', { signal }), /stopped/);
    const left = () => readdir(`${t.settings.rootDirectory}/layers`);
    await eventually('nothing is left', async () => (await left()).length === 0);
    assert.equal(taken, 3);
  });

  test('SECURITY 25: a layer that takes away more than its disk has room for is told that', async () => {
    const open = async () => Readable.from([tar([{ name: './d/', type: 'directory' }])]);
    const removed = Array.from({ length: 8000 }, (_, index) => `${index}/gone`);
    const image = { format: 'image', open, whiteouts: () => ({ removed, opaque: [] }) } as const;
    const made = t.garden.ensureLayer('whiteouts', image, '/', 'debian12', { limits: { diskBytes: 16 * 1024 ** 2 } });
    await assert.rejects(made, { code: 'layer_too_large' });
    assert.deepEqual(await readdir(`${t.settings.rootDirectory}/layers`), []);
  });

  test('who stops while a source is not open yet is told at once, and what comes too late is closed', async () => {
    const leaving = new AbortController();
    const late = Promise.withResolvers<Readable>();
    const open = () => {
      leaving.abort(new Error('left'));
      return late.promise;
    };
    await assert.rejects(
      t.garden.ensureLayer('late', { format: 'tar', open }, '/home/vcap', 'debian12', leaving),
      /left/,
    );
    await eventually('nothing of it is left', async () => {
      const left = await Promise.all(
        ['layers', 'containers'].map((of) => readdir(`${t.settings.rootDirectory}/${of}`)),
      );
      return left.flat().length === 0;
    });
    const stream = Readable.from(begunOnly());
    late.resolve(stream);
    await eventually('it is closed', () => stream.destroyed);
  });

  test('a source that gives nothing does not hold up its end', async () => {
    const leaving = new AbortController();
    const open = async () => {
      setImmediate(() => leaving.abort(new Error('left')));
      return new Readable({ read() {} });
    };
    const asked = t.garden.ensureLayer('silent', { format: 'tar', open }, '/home/vcap', 'debian12', leaving);
    await assert.rejects(asked, /left/);
    await eventually('nothing of it is left', async () => {
      const left = await Promise.all(
        ['layers', 'containers'].map((of) => readdir(`${t.settings.rootDirectory}/${of}`)),
      );
      return left.flat().length === 0;
    });
  });

  test('SECURITY 25: where the disk has no room for more no layer is made, and one that is being made ends', async () => {
    let room = false;
    const full = await startTestGarden('tgh', '10.231.8.0/24', { hasRoom: async () => room });
    let opened = 0;
    const open = async () => {
      opened += 1;
      return Readable.from(begunOnly());
    };
    const layer = () => full.garden.ensureLayer('a', { format: 'tar', open }, '/home/vcap', 'debian12');
    try {
      await assert.rejects(layer(), { code: 'disk_reserved' });
      assert.equal(opened, 0);
      room = true;
      let ended: unknown = null;
      layer().catch((error: unknown) => {
        ended = error;
      });
      await eventually('it is made', async () => (await readdir(`${full.settings.rootDirectory}/layers`)).length === 1);
      room = false;
      await eventually('it ends', () => codeOf(ended) === 'disk_reserved');
      assert.deepEqual(await readdir(`${full.settings.rootDirectory}/layers`), []);
    } finally {
      await full.stop();
    }
  });

  test('a file system is full where it can take no more files, too', async () => {
    const directory = await mkdtemp('/tmp/cupola-volume-');
    const [image, volume] = [join(directory, 'image'), join(directory, 'volume')];
    try {
      await createVolume(image, volume, () => formatImage(image, 16 * 1024 ** 2, 16));
      assert.equal(await isVolumeFull(volume), false);
      let files = 0;
      await assert.rejects(
        async () => {
          for (;;) await writeFile(join(volume, `${files++}`), '');
        },
        { code: 'ENOSPC' },
      );
      assert.equal(await isVolumeFull(volume), true);
    } finally {
      await unmountBelow(directory);
      await rm(directory, { recursive: true });
    }
  });

  test('streams go in and out as vcap', async () => {
    const container = await t.garden.create(containerSpec('streams'));
    await container.streamIn(Readable.from([tar([{ name: 'dir/a', content: 'content' }])]), '/home/vcap/in');
    assert.equal((await runShell(container, 'stat -c %U in/dir/a; cat in/dir/a')).output, 'vcap\ncontent');
    const out = await buffer(await container.streamOut('/home/vcap/in/dir'));
    assert.match(out.toString('latin1'), /^dir\/\0[\s\S]*dir\/a\0[\s\S]*content/);
    const inner = await buffer(await container.streamOut('/home/vcap/in/dir/'));
    assert.match(inner.toString('latin1'), /^\.\/\0[\s\S]*\.\/a\0/);
    await assert.rejects(container.streamOut('/home/vcap/absent'), { code: 'archive_refused' });
    await assert.rejects(container.streamIn(Readable.from([tar([])]), '/usr/bin/in'), { code: 'archive_refused' });
    await assert.rejects(container.streamIn(Readable.from(cutOff()), '/home/vcap/in'), /connection lost/);
    await t.garden.destroy('streams');
  });
});

async function* cutOff() {
  yield tar([{ name: 'half', content: Buffer.alloc(10_000) }]).subarray(0, 2000);
  throw new Error('connection lost');
}

/** The beginning of an archive, and nothing more. */
async function* begunOnly() {
  yield tar([{ name: 'half', content: Buffer.alloc(10_000) }]).subarray(0, 2000);
  await new Promise(() => {});
}

/** What the first of these files of control groups says, of each unpacking. */
function layerGroups(...files: string[]): string[] {
  const roots = ['/sys/fs/cgroup', '/sys/fs/cgroup/*'];
  const paths = roots.flatMap((root) => files.flatMap((file) => globSync(`${root}/cupola-tgf/layer-*/${file}`)));
  return paths.flatMap((path) => {
    try {
      return [readFileSync(path, 'utf8').trim()];
    } catch {
      return []; // it went meanwhile
    }
  });
}
