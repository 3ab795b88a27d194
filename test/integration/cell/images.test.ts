import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { create } from '@bufbuild/protobuf';
import { ImageStore, type PreparedImage } from '../../../src/cell/images/image-store.ts';
import { DockerImageSchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { tar } from '../../support/archives.ts';
import { containerSpec, GARDEN_SKIP, runShell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import {
  busyboxLayer,
  digestOf,
  hostileRegistry,
  READER,
  REGISTRY_SKIP,
  startRegistry,
  type TestImage,
  type TestRegistry,
} from '../../support/registry.ts';

const LIMITS = { unpackedBytes: 32 * 1024 ** 2, entries: 2000 };

describe('container images', { skip: GARDEN_SKIP || REGISTRY_SKIP }, () => {
  let t: TestGarden;
  let registry: TestRegistry;
  let store: ImageStore;
  const directory = mkdtempSync('/tmp/cupola-images-');
  let serial = 0;

  before(async () => {
    t = await startTestGarden('qdaa', '10.231.60.0/24', { layerLimitBytes: 64 * 1024 ** 2 });
    registry = await startRegistry(42_201);
    store = storeFor([registry.host]);
  });
  after(async () => {
    await registry.stop();
    await t.stop();
    rmSync(directory, { recursive: true });
  });

  const storeFor = (insecure: string[], name = `store-${++serial}`) =>
    new ImageStore({
      garden: t.garden,
      directory: `${directory}/${name}`,
      registries: { allowed: [], insecure },
      log: new Logger('images', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line)),
      limits: LIMITS,
    });
  const signal = () => AbortSignal.timeout(30_000);
  const image = (reference: string, credentials = { username: '', password: '' }) =>
    create(DockerImageSchema, { reference, ...credentials });
  const bring = async (pushed: { reference: string }, of = store, credentials = { username: '', password: '' }) => {
    const described = await of.describe(image(pushed.reference, credentials), signal());
    return of.prepare(image(described.reference, credentials), 'debian12');
  };
  const pushAndBring = async (wanted: TestImage) => bring(await registry.push('team/app', `t${++serial}`, wanted));
  const inside = async (prepared: PreparedImage, script: string, user: 'image' | 'root' = 'image') => {
    const handle = `image-${++serial}`;
    const { uid, gid, groups } = prepared.user;
    const container = await t.garden.create(
      containerSpec(handle, { stack: null, layers: prepared.layers, user: prepared.user }),
    );
    try {
      return await runShell(container, script, {
        args: ['/bin/sh', '-c', script],
        environment: { PATH: '/bin' },
        workingDirectory: '/',
        user: user === 'root' ? 'root' : { uid, gid, groups },
      });
    } finally {
      await t.garden.destroy(handle);
    }
  };

  for (const kind of ['docker', 'oci'] as const) {
    test(`CTR-01: an image of kind ${kind} runs as its user, with its owners, modes and links`, async () => {
      const files = tar([
        { name: './srv/', type: 'directory', mode: 0o750, uid: 1234, gid: 1235 },
        { name: 'srv/own', content: 'mine', uid: 1234, gid: 1235, mode: 0o600 },
        { name: 'srv/soft', type: 'symlink', link: '/srv/own' },
        { name: 'srv/hard', type: 'link', link: 'srv/own' },
        { name: 'srv/setuid', content: 'x', mode: 0o4755 },
      ]);
      const prepared = await pushAndBring({ layers: [busyboxLayer(), files], config: { User: 'web' }, kind });
      assert.deepEqual(prepared.user, { uid: 1234, gid: 1235, groups: [77], name: 'web', home: '/srv' });
      const { output } = await inside(
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
    const prepared = await pushAndBring({ layers: [busyboxLayer()] });
    const { output } = await inside(
      prepared,
      'id -u; grep CapBnd /proc/self/status; touch /bin/mine && echo wrote; cat /proc/self/uid_map;' +
        'for try in "mount -t tmpfs x /tmp" "chown 5:5 /bin/mine" "unshare -m true" "hostname x" "su web -c id"; do' +
        ' $try 2>/dev/null && echo "did $try"; done; echo end',
    );
    const [, lines = ''] = /^0\nCapBnd:\t0{16}\nwrote\n\s+0\s+\d{6,}\s+65536\n([\s\S]*)$/.exec(output) ?? [];
    assert.equal(lines, 'end\n', output);
  });

  test('the working directory is made where the image has none', async () => {
    const prepared = await pushAndBring({ layers: [busyboxLayer()], config: { WorkingDir: '/srv/deep' } });
    const container = await t.garden.create(
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
    await t.garden.destroy('workdir');
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
    const prepared = await pushAndBring({ layers: [busyboxLayer(), below, above] });
    const { output } = await inside(prepared, 'find /data /all /tree /again /replaced -type f 2>&1; cat /again');
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
    const changed = await pushAndBring({
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
      await assert.rejects(pushAndBring(wanted), /not in its \/etc\/passwd/);
    }
  });

  test('layers compressed with zstd or not at all work too, and one that is there twice counts once', async () => {
    const files = tar([{ name: 'file', content: 'packed' }]);
    for (const encode of [zstdCompressSync, (layer: Buffer) => layer]) {
      const prepared = await pushAndBring({ layers: [busyboxLayer(), files, files], encode });
      assert.equal(prepared.layers.length, 2);
      assert.equal((await inside(prepared, 'cat /file')).output, 'packed');
    }
  });

  test('CTR-02: the second container of an image asks its registry nothing; images share their layers', async () => {
    const base = busyboxLayer([{ name: 'shared', content: 'shared' }]);
    const first = await registry.push('team/one', 'a', { layers: [base, tar([{ name: 'x', content: '1' }])] });
    const second = await registry.push('team/one', 'b', { layers: [base, tar([{ name: 'x', content: '2' }])] });
    const pinnedFirst = (await store.describe(image(first.reference), signal())).reference;
    const made = await store.prepare(image(pinnedFirst), 'debian12');
    const asked = registry.asked().length;
    const began = performance.now();
    const again = await store.prepare(image(pinnedFirst), 'debian12');
    const milliseconds = performance.now() - began;
    assert.deepEqual([again.layers, again.fetchedBytes], [made.layers, 0]);
    assert.equal(registry.asked().length, asked);
    assert.ok(milliseconds < 100, `${milliseconds} ms`);
    const other = await bring(second);
    assert.deepEqual(other.layers[0], made.layers[0]);
    assert.equal(other.fetchedBytes, second.layers[1]!.size);
    assert.equal((await inside(other, 'cat /shared /x')).output, 'shared2');
    // A cell that was started anew knows as much.
    const [name] = readdirSync(directory);
    const restarted = await storeFor([registry.host], name).prepare(image(pinnedFirst), 'debian12');
    assert.equal(restarted.fetchedBytes, 0);
    assert.equal(registry.asked().length, asked + 3, 'manifest, configuration and the layer of the second image');
  });

  test('SEC-24: another’s cached layer is given only to who can show its bytes', async () => {
    const secret = tar([{ name: 'secret', content: 'of another tenant' }]);
    const mine = await registry.push('victim/app', '1', { layers: [busyboxLayer(), secret] });
    await bring(mine);
    // The attacker knows the digest, and names it in a manifest of a registry of their own that has no such bytes.
    const attacker = await hostileRegistry((path) => {
      if (path.includes('/manifests/')) return manifestOf(attackerConfig, mine.layers);
      if (path.endsWith(digestOf(attackerConfig))) return attackerConfig;
      return path.endsWith(mine.layers[1]!.digest) ? Buffer.alloc(mine.layers[1]!.size) : null;
    });
    const attackerConfig = configOf([busyboxLayer(), secret]);
    try {
      const theirs = storeFor([registry.host, attacker.host]);
      await assert.rejects(bring({ reference: `${attacker.host}/theirs/app:1` }, theirs), {
        code: /image_not_found|blob_digest_mismatch/,
      });
    } finally {
      await attacker.stop();
    }
  });

  test('SEC-24: what a layer does to escape stays in the container it is unpacked in', async () => {
    const marker = `/tmp/cupola-escaped-${process.pid}`;
    const attempts = [
      tar([
        { name: 'out', type: 'symlink', link: '/' },
        { name: `out${marker}`, content: 'x' },
      ]),
      tar([
        { name: 'up', type: 'symlink', link: '../../../../..' },
        { name: `up${marker}`, content: 'x' },
      ]),
      tar([{ name: 'hard', type: 'link', link: '/etc/shadow' }]),
      tar([
        { name: 'etc', type: 'symlink', link: '/etc' },
        { name: 'hard', type: 'link', link: 'etc/shadow' },
      ]),
      tar([{ name: 'way', type: 'symlink', link: '/etc' }, { name: 'way/.wh.passwd' }]),
      tar([{ name: `../../../..${marker}`, content: 'x' }]),
    ];
    for (const layer of attempts) {
      await assert.rejects(pushAndBring({ layers: [busyboxLayer(), layer] }), {
        code: /archive_refused|image_invalid/,
      });
    }
    assert.equal(existsSync(marker), false);
    assert.ok(existsSync('/etc/passwd'));
  });

  test('SEC-24: bombs end at their bound, and leave nothing behind', async () => {
    const layersBefore = readdirSync(`${t.settings.rootDirectory}/layers`).length;
    const zeros = tar([{ name: 'zeros', content: Buffer.alloc(LIMITS.unpackedBytes + 1) }]);
    const many = tar(Array.from({ length: LIMITS.entries + 1 }, (_, index) => ({ name: `f${index}` })));
    for (const layer of [zeros, many]) {
      await assert.rejects(pushAndBring({ layers: [layer] }), { code: 'image_unsupported' });
    }
    const { length } = readdirSync(`${t.settings.rootDirectory}/layers`);
    assert.equal(length, layersBefore);
  });

  test('SEC-24: content that is not what its digest says is refused', async () => {
    const layer = tar([{ name: 'x', content: 'true' }]);
    const forged = tar([{ name: 'x', content: 'evil' }]);
    await assert.rejects(pushAndBring({ layers: [layer], diffIds: [digestOf(forged)] }), {
      code: 'blob_digest_mismatch',
    });
    await assert.rejects(pushAndBring({ layers: [layer], diffIds: [] }), { code: 'image_unsupported' });
    const config = configOf([layer]);
    const packed = gzipSync(layer);
    const manifest = manifestOf(config, [{ digest: digestOf(packed), size: packed.length }]);
    const hostile = (wrong: 'layer' | 'config' | 'manifest') =>
      hostileRegistry((path) => {
        if (path.includes('/manifests/sha256:')) return wrong === 'manifest' ? manifestOf(config, []) : manifest;
        if (path.includes('/manifests/')) return manifest;
        if (path.endsWith(digestOf(config)))
          return wrong === 'config' ? Buffer.from('{}'.padEnd(config.length)) : config;
        return wrong === 'layer' ? gzipSync(forged) : packed;
      });
    for (const wrong of ['layer', 'config'] as const) {
      const server = await hostile(wrong);
      const code = /blob_digest_mismatch|blob_too_large/;
      await assert.rejects(bring({ reference: `${server.host}/app:1` }, storeFor([server.host])), { code }, wrong);
      await server.stop();
    }
    const server = await hostile('manifest');
    const pinnedOne = `${server.host}/app@${digestOf(manifest)}`;
    await assert.rejects(storeFor([server.host]).prepare(image(pinnedOne), 'debian12'), { code: 'image_invalid' });
    await server.stop();
  });

  test('SEC-28: no registry leads a cell to an internal address, by name, by redirect or by its token service', async () => {
    const reached: string[] = [];
    const target = await hostileRegistry((path) => {
      reached.push(path);
      return Buffer.from('{}');
    });
    const { port } = new URL(`http://${target.host}`);
    const names = [
      target.host,
      `localhost:${port}`,
      `[::1]:${port}`,
      `[::ffff:127.0.0.1]:${port}`,
      `2130706433:${port}`,
    ];
    for (const name of [...names, '169.254.169.254', '10.255.255.53', `${hostname()}:${port}`]) {
      await assert.rejects(storeFor([]).describe(image(`${name}/team/app:1`), signal()), {
        code: /registry_forbidden|image_invalid/,
      });
    }
    const redirecting = await hostileRegistry(() => ({
      status: 307,
      headers: { location: `http://${target.host}/v2/stolen` },
    }));
    const asking = await hostileRegistry(() => ({
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="http://${target.host}/token",service="x"` },
    }));
    for (const { host } of [redirecting, asking]) {
      await assert.rejects(storeFor([host]).describe(image(`${host}/team/app:1`), signal()), {
        code: 'registry_forbidden',
      });
    }
    assert.deepEqual(reached, []);
    for (const server of [target, redirecting, asking]) await server.stop();
  });

  test('SEC-28: a password goes to no other host, and into no error', async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = await hostileRegistry((_, headers) => {
      seen.push(headers['authorization']);
      return null;
    });
    const redirecting = await hostileRegistry((_, headers) =>
      headers['authorization']
        ? { status: 302, headers: { location: `http://${elsewhere.host}/blob` } }
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
    );
    const credentials = { username: 'me', password: 'planted-password-71' };
    const of = storeFor([redirecting.host, elsewhere.host]);
    const reference = `${redirecting.host}/team/app:1`;
    await assert.rejects(of.describe(image(reference, credentials), signal()), (error) => {
      assert.doesNotMatch(inspect(error, { depth: 10 }), /planted-password|cGxhbnRlZ|bWU6cGxhbn/);
      return true;
    });
    assert.deepEqual(seen, [undefined]);
    await redirecting.stop();
    await elsewhere.stop();
  });

  for (const [auth, port] of [
    ['basic', 42_202],
    ['token', 42_203],
  ] as const) {
    test(`a private registry with ${auth} authentication gives to who has the password, and says so to who has not`, async () => {
      const locked = await startRegistry(port, auth);
      try {
        const pushed = await locked.push('team/secret', '1', { layers: [busyboxLayer([{ name: auth }])] });
        const of = storeFor([locked.host, ...locked.tokenHosts]);
        const { username, password } = READER;
        for (const wrong of [
          { username, password: 'not the password' },
          { username: '', password: '' },
        ]) {
          await assert.rejects(bring(pushed, of, wrong), (error: Error & { code?: string }) => {
            assert.equal(error.code, 'image_unauthorized');
            assert.match(error.message, /user name and password are missing or wrong/);
            return true;
          });
        }
        const prepared = await bring(pushed, of, { username, password });
        assert.ok(prepared.fetchedBytes > 0);
        assert.equal((await inside(prepared, `ls /${auth}`)).output, `/${auth}\n`);
        await assert.rejects(bring({ reference: `${locked.host}/team/none:1` }, of, { username, password }), {
          code: /image_not_found|image_unauthorized/,
        });
        const kept = readdirSync(directory).flatMap((name) =>
          readdirSync(`${directory}/${name}`).map((file) => readFileSync(`${directory}/${name}/${file}`, 'utf8')),
        );
        assert.ok(kept.length > 0 && !kept.join().includes(password));
      } finally {
        await locked.stop();
      }
    });
  }

  test('a registry that is not there, and one whose answers are no registry’s, are told in plain words', async () => {
    const nonsense = await hostileRegistry(() => Buffer.from('<html>'));
    const broken = await hostileRegistry(() => ({ status: 500, headers: {} }));
    const loop = await hostileRegistry((path) => ({ status: 302, headers: { location: path } }));
    const of = storeFor([nonsense.host, broken.host, loop.host, '127.0.0.1:1']);
    const cases: [string, RegExp][] = [
      ['127.0.0.1:1', /could not be reached: it refuses connections/],
      [nonsense.host, /manifest of the image is not valid/],
      [broken.host, /answered with status 500/],
      [loop.host, /redirects without end/],
    ];
    for (const [host, words] of cases) await assert.rejects(of.describe(image(`${host}/app:1`), signal()), words, host);
    for (const server of [nonsense, broken, loop]) await server.stop();
  });
});

function configOf(layers: readonly Buffer[]): Buffer {
  return Buffer.from(JSON.stringify({ config: {}, rootfs: { type: 'layers', diff_ids: layers.map(digestOf) } }));
}

function manifestOf(config: Buffer, layers: readonly { digest: string; size: number }[]): Buffer {
  const described = { mediaType: 'x', digest: digestOf(config), size: config.length };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config: described, layers }));
}
