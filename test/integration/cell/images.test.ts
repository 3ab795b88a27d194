import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type ArchiveEntry, tar } from '../../support/archives.ts';
import { containerSpec, GARDEN_SKIP, runShell } from '../../support/garden.ts';
import { LIMITS, signal, TestImages } from '../../support/images.ts';
import {
  busyboxLayer,
  configOf,
  digestOf,
  hostileRegistry,
  manifestOf,
  REGISTRY_SKIP,
} from '../../support/registry.ts';

describe('container images', { skip: GARDEN_SKIP || REGISTRY_SKIP }, () => {
  const i = new TestImages();

  before(() => i.start('qdaa', '10.231.60.0/24', 22_201));
  after(() => i.stop());

  for (const kind of ['docker', 'oci'] as const) {
    test(`CTR-01: an image of kind ${kind} runs as its user, with its owners, modes and links`, async () => {
      const files = tar([
        { name: './srv/', type: 'directory', mode: 0o750, uid: 1234, gid: 1235 },
        { name: 'srv/own', content: 'mine', uid: 1234, gid: 1235, mode: 0o600 },
        { name: 'srv/soft', type: 'symlink', link: '/srv/own' },
        { name: 'srv/hard', type: 'link', link: 'srv/own' },
        { name: 'srv/setuid', content: 'x', mode: 0o4755 },
      ]);
      const prepared = await i.pushAndBring({ layers: [busyboxLayer(), files], config: { User: 'web' }, kind });
      assert.deepEqual(prepared.user, { uid: 1234, gid: 1235, groups: [77], name: 'web', home: '/srv' });
      const { output } = await i.inside(
        prepared,
        'id; cat /srv/own /srv/soft /srv/hard; echo; stat -c "%u %g %a" /srv /srv/own /tmp /bin/busybox /srv/setuid;' +
          'ls -d /usr /home 2>/dev/null; grep CapEff /proc/self/status; touch /bin/x 2>/dev/null || echo "not root\'s files"',
      );
      assert.equal(
        output,
        [
          'uid=1234(web) gid=1235(web) groups=77(log)',
          'mineminemine',
          '1234 1235 750\n1234 1235 600\n0 0 1777\n0 0 755\n0 0 755',
          'CapEff:\t0000000000000000',
          "not root's files\n",
        ].join('\n'),
      );
    });
  }

  test('an image whose user is root runs as root of its own user namespace, without capabilities', async () => {
    const prepared = await i.pushAndBring({ layers: [busyboxLayer()] });
    const { output } = await i.inside(
      prepared,
      'id -u; grep CapBnd /proc/self/status; touch /bin/mine && echo wrote; cat /proc/self/uid_map;' +
        'for try in "mount -t tmpfs x /tmp" "chown 5:5 /bin/mine" "unshare -m true" "hostname x" "su web -c id"; do' +
        ' $try 2>/dev/null && echo "did $try"; done; echo end',
    );
    const [, lines = ''] = /^0\nCapBnd:\t0{16}\nwrote\n\s+0\s+\d{6,}\s+65536\n([\s\S]*)$/.exec(output) ?? [];
    assert.equal(lines, 'end\n', output);
  });

  test('the working directory is made where the image has none', async () => {
    const prepared = await i.pushAndBring({ layers: [busyboxLayer()], config: { WorkingDir: '/srv/deep' } });
    const container = await i.garden.garden.create(
      containerSpec('workdir', {
        stack: null,
        layers: prepared.layers,
        user: prepared.user,
        workingDirectory: prepared.config.workingDirectory,
      }),
    );
    const { uid, gid, groups } = prepared.user;
    const { output } = await runShell(container, '', {
      args: ['/bin/pwd'],
      workingDirectory: prepared.config.workingDirectory,
      user: { uid, gid, groups },
    });
    assert.equal(output, '/srv/deep\n');
    await i.garden.garden.destroy('workdir');
  });

  test('a layer takes away files and whole directories of those below it', async () => {
    const below = tar([
      { name: 'data/', type: 'directory' },
      { name: 'data/gone', content: '1' },
      { name: 'data/kept', content: '2' },
      { name: 'all/', type: 'directory' },
      { name: 'all/gone', content: '3' },
      { name: 'tree/', type: 'directory' },
      { name: 'tree/gone', content: '4' },
      { name: 'again', content: 'old' },
      { name: 'replaced/', type: 'directory' },
      { name: 'replaced/gone', content: '5' },
    ]);
    const above = tar([
      { name: 'data/.wh.gone' },
      { name: 'data/.wh.never-there' },
      { name: 'all/', type: 'directory' },
      { name: 'all/.wh..wh..opq' },
      { name: 'all/new', content: '6' },
      { name: '.wh.tree' },
      { name: '.wh.again' },
      { name: 'again', content: 'new' },
      { name: '.wh.replaced' },
      { name: 'replaced/', type: 'directory' },
      { name: 'replaced/new', content: '7' },
    ]);
    const prepared = await i.pushAndBring({ layers: [busyboxLayer(), below, above] });
    const { output } = await i.inside(prepared, 'find /data /all /tree /again /replaced -type f 2>&1; cat /again');
    assert.deepEqual(output.trim().split('\n').sort(), [
      '/again',
      '/all/new',
      '/data/kept',
      '/replaced/new',
      'find: /tree: No such file or directory',
      'new',
    ]);
  });

  test('/etc/passwd is read as the container would see it, and never through a link', async () => {
    const users = (content: string) =>
      tar([
        { name: 'etc/', type: 'directory' },
        { name: 'etc/passwd', content },
      ]);
    const changed = await i.pushAndBring({
      layers: [busyboxLayer(), users('web:x:42:43::/web:/bin/sh\n')],
      config: { User: 'web' },
    });
    assert.equal(changed.user.uid, 42);
    const hiding = [
      tar([{ name: 'etc/.wh.passwd' }]),
      tar([{ name: 'etc/', type: 'directory' }, { name: 'etc/.wh..wh..opq' }]),
      tar([{ name: 'etc/passwd', type: 'symlink', link: '/proc/self/root/etc/passwd' }]),
      tar([{ name: 'etc', type: 'symlink', link: '../../../../../../etc' }]),
    ];
    for (const layer of hiding) {
      const wanted = { layers: [busyboxLayer(), layer], config: { User: 'nobody' } };
      await assert.rejects(i.pushAndBring(wanted), /not in its \/etc\/passwd/);
    }
  });

  test('layers compressed with zstd or not at all work too, and one that is there twice counts once', async () => {
    const files = tar([{ name: 'file', content: 'packed' }]);
    for (const encode of [zstdCompressSync, (layer: Buffer) => layer]) {
      const prepared = await i.pushAndBring({ layers: [busyboxLayer(), files, files], encode });
      assert.equal(prepared.layers.length, 2);
      assert.equal((await i.inside(prepared, 'cat /file')).output, 'packed');
    }
  });

  test('CTR-02: the second container of an image asks its registry nothing; images share their layers', async () => {
    const base = busyboxLayer([{ name: 'shared', content: 'shared' }]);
    const first = await i.registry.push('team/one', 'a', { layers: [base, tar([{ name: 'x', content: '1' }])] });
    const second = await i.registry.push('team/one', 'b', { layers: [base, tar([{ name: 'x', content: '2' }])] });
    const pinnedFirst = (await i.store.describe(i.image(first.reference), signal())).reference;
    const made = await i.prepare(pinnedFirst);
    const asked = i.registry.asked().length;
    const again = await i.prepare(pinnedFirst);
    assert.deepEqual([again.layers, again.fetchedBytes], [made.layers, 0]);
    assert.equal(i.registry.asked().length, asked);
    const other = await i.bring(second);
    assert.deepEqual(other.layers[0], made.layers[0]);
    assert.equal(other.fetchedBytes, second.layers[1]!.size);
    assert.equal((await i.inside(other, 'cat /shared /x')).output, 'shared2');
    // A cell that was started anew knows as much.
    const [name] = readdirSync(i.directory);
    const restarted = await i.prepare(pinnedFirst, i.storeFor([i.registry.host], name));
    assert.equal(restarted.fetchedBytes, 0);
    assert.equal(i.registry.asked().length, asked + 3, 'manifest, configuration and the layer of the second image');
  });

  test('SECURITY 24: another’s cached layer is given only to who can show its bytes', async () => {
    const secret = tar([{ name: 'secret', content: 'of another tenant' }]);
    const mine = await i.registry.push('victim/app', '1', { layers: [secret] });
    const [layer] = mine.layers;
    assert.ok(layer);
    // The attacker knows the digest, and names it in a manifest of a registry of their own that has no such bytes, or others.
    const config = configOf([secret]);
    for (const [bytes, code] of [
      [null, 'image_not_found'],
      [Buffer.alloc(layer.size), 'blob_digest_mismatch'],
      [Buffer.alloc(layer.size + 1), 'blob_too_large'],
    ] as const) {
      const attacker = await hostileRegistry((path) => {
        if (path.includes('/manifests/')) return manifestOf(config, mine.layers);
        return path.endsWith(digestOf(config)) ? config : bytes;
      });
      try {
        // On one cell, which knows what the victim's repository was seen to hold.
        const cell = i.storeFor([i.registry.host, attacker.host]);
        assert.equal((await i.bring(mine, cell)).layers.length, 1);
        await assert.rejects(i.bring({ reference: `${attacker.host}/theirs/app:1` }, cell), { code }, code);
      } finally {
        await attacker.stop();
      }
    }
  });

  test('SECURITY 24: what a layer does to escape stays in the container it is unpacked in', async () => {
    const marker = `/tmp/cupola-escaped-${process.pid}`;
    // What tar in the container refuses, and what is not given to it or not taken from it.
    const refused = { code: 'archive_refused' };
    const invalid = (why: RegExp) => ({ code: 'image_invalid', message: why });
    const attempts: [ArchiveEntry[], object][] = [
      [
        [
          { name: 'out', type: 'symlink', link: '/' },
          { name: `out${marker}`, content: 'x' },
        ],
        refused,
      ],
      [
        [
          { name: 'up', type: 'symlink', link: '../../../../..' },
          { name: `up${marker}`, content: 'x' },
        ],
        refused,
      ],
      [[{ name: 'hard', type: 'link', link: '/etc/shadow' }], refused],
      [
        [
          { name: 'etc', type: 'symlink', link: '/etc' },
          { name: 'hard', type: 'link', link: 'etc/shadow' },
        ],
        refused,
      ],
      [
        [{ name: 'way', type: 'symlink', link: '/etc' }, { name: 'way/.wh.passwd' }],
        invalid(/: a whiteout leads through a link$/),
      ],
      [[{ name: `../../../..${marker}`, content: 'x' }], invalid(/: an entry leads out of the image$/)],
    ];
    for (const [entries, refusal] of attempts) {
      await assert.rejects(i.pushAndBring({ layers: [busyboxLayer(), tar(entries)] }), refusal, entries[0]?.name);
    }
    assert.equal(existsSync(marker), false);
    assert.ok(existsSync('/etc/passwd'));
  });

  test('SECURITY 24: bombs end at their bound, and leave nothing behind', async () => {
    const kept = () => ['layers', 'containers'].map((of) => readdirSync(`${i.garden.settings.rootDirectory}/${of}`));
    const before = kept();
    const zeros = tar([{ name: 'zeros', content: Buffer.alloc(LIMITS.unpackedBytes + 1) }]);
    const many = tar(Array.from({ length: LIMITS.entries + 1 }, (_, index) => ({ name: `f${index}` })));
    for (const [what, layer] of Object.entries({ zeros, many })) {
      const larger = 'a layer of the image is larger than is allowed';
      await assert.rejects(i.pushAndBring({ layers: [layer] }), { code: 'image_unsupported', message: larger }, what);
      assert.deepEqual(kept(), before, 'what is left');
    }
  });

  test('SECURITY 24: content that is not what its digest says is refused', async () => {
    const layer = tar([{ name: 'x', content: 'true' }]);
    const forged = tar([{ name: 'x', content: 'evil' }]);
    await assert.rejects(i.pushAndBring({ layers: [layer], diffIds: [digestOf(forged)] }), {
      code: 'blob_digest_mismatch',
    });
    await assert.rejects(i.pushAndBring({ layers: [layer], diffIds: [] }), {
      code: 'image_unsupported',
      message: 'the manifest names other layers than the image has',
    });
    const config = configOf([layer]);
    const packed = gzipSync(layer);
    const manifest = manifestOf(config, [{ digest: digestOf(packed), size: packed.length }]);
    const serving = (given: { layer?: Buffer; config?: Buffer; manifest?: Buffer }) =>
      hostileRegistry((path) => {
        if (path.includes('/manifests/sha256:')) return given.manifest ?? manifest;
        if (path.includes('/manifests/')) return manifest;
        return path.endsWith(digestOf(config)) ? (given.config ?? config) : (given.layer ?? packed);
      });
    // Other bytes that unpack to the very same: byte 9 names the system they were made on.
    const other = Buffer.from(packed);
    other[9] = 0x7f;
    const wrong = [
      ['other bytes', { layer: other }, 'blob_digest_mismatch'],
      ['more bytes', { layer: Buffer.concat([packed, Buffer.alloc(1)]) }, 'blob_too_large'],
      ['another configuration', { config: Buffer.from('{}'.padEnd(config.length)) }, 'blob_digest_mismatch'],
    ] as const;
    for (const [what, given, code] of wrong) {
      const server = await serving(given);
      const asked = i.bring({ reference: `${server.host}/app:1` }, i.storeFor([server.host]));
      await assert.rejects(asked, { code }, what);
      await server.stop();
    }
    const server = await serving({ manifest: manifestOf(config, []) });
    const pinnedOne = `${server.host}/app@${digestOf(manifest)}`;
    await assert.rejects(i.prepare(pinnedOne, i.storeFor([server.host])), {
      code: 'image_invalid',
      message: 'the registry gave another manifest than was asked for',
    });
    await server.stop();
  });
});
