import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  installResolver,
  type ResolverPlaces,
  removeResolver,
  restoreResolver,
  upstreamNameservers,
} from '../../../src/platform/host/names.ts';
import { addNameserver, nameserversOf } from '../../../src/platform/host/resolv-conf.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { testSettings } from '../../support/settings.ts';

const settings = testSettings();
const other: PlatformSettings = { ...settings, id: 'xyz', resolverAddress: '127.0.53.9' };
const ORIGINAL = '# by hand\nsearch corp.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions rotate timeout:1\n';

/** Of a test, which is alone with it. */
const places = (resolvConf: string): ResolverPlaces => ({ resolvConf, lock: async () => new DisposableStack() });

function scratch(t: { after: (done: () => void) => void }): { directory: string; file: string } {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-names-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return { directory, file: join(directory, 'resolv.conf') };
}

test('destroy puts the very file back', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, ORIGINAL, { mode: 0o640 });
  await installResolver(settings, places(file));
  await installResolver(settings, places(file));
  assert.equal(readFileSync(file, 'utf8'), addNameserver(ORIGINAL, { id: 'abc', address: '127.0.53.1' }));
  await removeResolver(settings, places(file));
  assert.equal(readFileSync(file, 'utf8'), ORIGINAL);
  assert.equal(lstatSync(file).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(directory), ['resolv.conf']);
});

test('destroy puts the very link back, and its target was never written', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(join(directory, 'target'), ORIGINAL);
  symlinkSync('target', file);
  await installResolver(settings, places(file));
  assert.equal(nameserversOf(readFileSync(file, 'utf8'))[0], '127.0.53.1');
  assert.equal(readFileSync(join(directory, 'target'), 'utf8'), ORIGINAL);
  await removeResolver(settings, places(file));
  assert.equal(readlinkSync(file), 'target');
  assert.deepEqual(readdirSync(directory).sort(), ['resolv.conf', 'target']);
});

test('what someone else wrote since stays', async (t) => {
  const { file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  await installResolver(settings, places(file));
  writeFileSync(file, 'nameserver 192.168.7.1\n');
  await removeResolver(settings, places(file));
  assert.equal(readFileSync(file, 'utf8'), 'nameserver 192.168.7.1\n');
});

test('two installations can go in either order', async (t) => {
  const { directory, file } = scratch(t);
  for (const order of [
    [settings, other],
    [other, settings],
  ]) {
    writeFileSync(file, 'nameserver 10.0.0.2\n');
    await installResolver(settings, places(file));
    await installResolver(other, places(file));
    for (const installation of order) await removeResolver(installation, places(file));
    assert.equal(readFileSync(file, 'utf8'), 'nameserver 10.0.0.2\n');
    assert.deepEqual(readdirSync(directory), ['resolv.conf']);
  }
});

test('destroy puts the file back from a line of the former wording too', async (t) => {
  const { file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  await installResolver(settings, places(file));
  const lines = readFileSync(file, 'utf8').split('\n');
  lines[0] = '# The first name server is cupola\'s; "cupola destroy" removes it.';
  writeFileSync(file, lines.join('\n'));
  await removeResolver(settings, places(file));
  assert.equal(readFileSync(file, 'utf8'), ORIGINAL);
});

test('a platform that runs has its line put back where it is missing, and nothing else done', async (t) => {
  const { file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  await installResolver(settings, places(file));
  await installResolver(other, places(file));
  const before = readFileSync(file, 'utf8');
  assert.equal(await restoreResolver(settings, places(file)), false);
  assert.equal(readFileSync(file, 'utf8'), before);

  writeFileSync(file, 'nameserver 192.168.7.1\n');
  assert.equal(await restoreResolver(settings, places(file)), true);
  assert.deepEqual(nameserversOf(readFileSync(file, 'utf8')), ['127.0.53.1', '192.168.7.1']);
  assert.deepEqual(upstreamNameservers(settings, file), ['192.168.7.1']);

  writeFileSync(file, 'nameserver 127.0.0.53\n');
  assert.equal(await restoreResolver(settings, places(file)), false, 'systemd-resolved answers the names already');
});

test('what an earlier version kept is put back: the link itself, and a text with the lines of others', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(join(directory, 'target'), ORIGINAL);
  symlinkSync('target', file);
  await installResolver(settings, places(file));
  renameSync(`${file}.cupola-abc-link`, `${file}.cupola-abc`);
  writeFileSync(`${file}.cupola-xyz`, readFileSync(file, 'utf8'));
  writeFileSync(file, addNameserver(readFileSync(file, 'utf8'), { id: 'xyz', address: '127.0.53.9' }));
  assert.deepEqual(upstreamNameservers(settings, file), ['10.0.0.2', '10.0.0.3']);
  assert.deepEqual(upstreamNameservers(other, file), ['10.0.0.2', '10.0.0.3']);
  await removeResolver(other, places(file));
  await removeResolver(settings, places(file));
  assert.equal(readlinkSync(file), 'target');
  assert.deepEqual(readdirSync(directory).sort(), ['resolv.conf', 'target']);
});

test('nothing is written where systemd-resolved answers the names already', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, 'nameserver 127.0.0.53\n');
  await installResolver(settings, places(file));
  assert.equal(readFileSync(file, 'utf8'), 'nameserver 127.0.0.53\n');
  assert.deepEqual(readdirSync(directory), ['resolv.conf']);
  await installResolver({ ...settings, domain: 'paas.example' }, places(file));
  assert.equal(nameserversOf(readFileSync(file, 'utf8'))[0], '127.0.53.1');
});

test('installations that come and go at once each keep their line, and the last leaves the file as it was', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  const module = (path: string) => JSON.stringify(join(import.meta.dirname, '../../../src', path));
  const program = `import { readFileSync } from 'node:fs';
    import { lockDirectory } from ${module('kit/lock.ts')};
    import { installResolver, removeResolver } from ${module('platform/host/names.ts')};
    const [settings, resolvConf] = [JSON.parse(process.argv[1]), process.argv[2]];
    const places = { resolvConf, lock: () => lockDirectory(resolvConf + '.lock') };
    for (let round = 0; round < 100; round += 1) {
      await installResolver(settings, places);
      if (!readFileSync(resolvConf, 'utf8').includes('nameserver ' + settings.resolverAddress)) throw new Error('lost');
      await removeResolver(settings, places);
    }`;
  const ids = ['aaa', 'bbb', 'ccc'];
  await Promise.all(
    ids.map(async (id, index) => {
      const own = JSON.stringify({ ...settings, id, resolverAddress: `127.0.53.${index + 1}` });
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program, own, file], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      assert.deepEqual(await once(child, 'exit'), [0, null], id);
    }),
  );
  assert.equal(readFileSync(file, 'utf8'), ORIGINAL);
  assert.deepEqual(readdirSync(directory).sort(), ['resolv.conf', 'resolv.conf.lock']);
});

test('each installation writes by way of files of its own: one of an earlier version may do so at the same time', async (t) => {
  const { directory, file } = scratch(t);
  writeFileSync(file, ORIGINAL);
  const written = async (act: () => Promise<unknown>): Promise<string[]> => {
    const names = new Set<string>();
    const inPlace = Promise.withResolvers<void>();
    const watcher = watch(directory, (_event, name) => {
      if (name === 'resolv.conf') inPlace.resolve();
      else names.add(name!);
    });
    try {
      await act();
      await inPlace.promise;
    } finally {
      watcher.close();
    }
    return [...names];
  };
  for (const act of [installResolver, removeResolver]) {
    const [own, others] = [
      await written(() => act(settings, places(file))),
      await written(() => act(other, places(file))),
    ];
    assert.ok(own.length > 0);
    assert.deepEqual(
      own.filter((name) => others.includes(name)),
      [],
    );
  }
});

describe('three installations, whatever becomes of them and of the file', () => {
  /** Texts, and where links lead, by name. */
  type Files = Readonly<Record<string, { text: string } | { link: string }>>;
  interface World {
    files: Files;
    /** What the machine has without any installation. */
    own: { text: string; link: string | null };
    /** Ids of those whose line is in the file, the last started first. */
    lines: readonly string[];
    /** By id. */
    addresses: Readonly<Record<string, string>>;
    happened: readonly string[];
  }

  const IDS = ['aaa', 'bbb', 'ccc'];
  const ADDRESSES = ['127.0.53.1', '127.0.53.2', '127.0.53.3'];
  const installation = (id: string, resolverAddress: string): PlatformSettings => ({
    ...settings,
    id,
    domain: `${id}.example`,
    resolverAddress,
  });
  const text = (address: string) => `search corp.example\nnameserver ${address}\noptions rotate\n`;
  const FIRST = text('10.0.0.2');
  const WRITTEN = text('10.0.0.3');
  const TARGETS = [text('10.0.0.4'), text('10.0.0.5')];

  function read(directory: string): Files {
    const names = readdirSync(directory).sort();
    return Object.fromEntries(
      names.map((name) => {
        const path = join(directory, name);
        const isLink = lstatSync(path).isSymbolicLink();
        return [name, isLink ? { link: readlinkSync(path) } : { text: readFileSync(path, 'utf8') }];
      }),
    );
  }

  function write(directory: string, files: Files): void {
    for (const name of readdirSync(directory)) rmSync(join(directory, name));
    for (const [name, file] of Object.entries(files)) {
      if ('link' in file) symlinkSync(file.link, join(directory, name));
      else writeFileSync(join(directory, name), file.text);
    }
  }

  type Act = (files: Files, body: (file: string) => Promise<unknown>) => Promise<Files>;

  /** All that can happen next. */
  async function next(world: World, act: Act): Promise<World[]> {
    const { files, own, lines, addresses } = world;
    const then = (what: string, changes: Partial<World>): World => ({
      ...world,
      ...changes,
      happened: [...world.happened, what],
    });
    const written = (file: Files[string]) => ({ files: { ...files, 'resolv.conf': file }, lines: [] });
    const events = [
      then('written', { ...written({ text: WRITTEN }), own: { text: WRITTEN, link: null } }),
      then('linked', {
        ...written({ link: 'target' }),
        own: { text: (files.target as { text: string }).text, link: 'target' },
      }),
    ];
    if (lines.length > 0) {
      const edit = (before: string) => before.replace(/10\.0\.0\.\d/, '10.0.0.9');
      const edited = { text: edit((files['resolv.conf'] as { text: string }).text) };
      const left = { text: edit(own.text).replace(' rotate', ''), link: null };
      events.push(then('edited', { files: { ...files, 'resolv.conf': edited }, own: left }));
    }
    for (const target of TARGETS) {
      if (own.link !== null && own.text !== target)
        events.push(then('target', { files: { ...files, target: { text: target } }, own: { ...own, text: target } }));
    }
    for (const id of IDS) {
      const address = addresses[id];
      const up = async (at: string): Promise<World> =>
        then(`up ${id}`, {
          files: await act(files, (file) => installResolver(installation(id, at), places(file))),
          lines: [id, ...lines.filter((one) => one !== id)],
          addresses: { ...addresses, [id]: at },
        });
      if (address === undefined) {
        // At the address of one that is gone, where one is. Which of those that are not there comes makes no difference.
        events.push(await up(ADDRESSES.find((at) => !Object.values(addresses).includes(at))!));
        break;
      }
      const { [id]: _, ...staying } = addresses;
      events.push(await up(address));
      events.push(
        then(`up ${id} that runs`, {
          files: await act(files, (file) => restoreResolver(installation(id, address), places(file))),
          lines: lines.includes(id) ? lines : [id, ...lines],
        }),
        then(`destroy ${id}`, {
          files: await act(files, (file) => removeResolver(installation(id, address), places(file))),
          lines: lines.filter((one) => one !== id),
          addresses: staying,
        }),
      );
    }
    return events;
  }

  test('each asks the machine’s own name servers, and with the last one the file or link is as at first', async (t) => {
    const { directory, file } = scratch(t);
    let shown: Files = {};
    const put = (files: Files): void => {
      if (files !== shown) write(directory, files);
      shown = files;
    };
    const act: Act = async (files, body) => {
      put(files);
      await body(file);
      shown = read(directory);
      return shown;
    };
    const plain = ({ files, lines, addresses, own }: World) => JSON.stringify([files, lines, addresses, own]);

    async function check({ files, own, lines, addresses, happened }: World): Promise<void> {
      const said = happened.join(', ');
      put(files);
      const asked = nameserversOf(readFileSync(file, 'utf8'));
      assert.deepEqual(
        asked.slice(0, lines.length),
        lines.map((id) => addresses[id]),
        said,
      );
      for (const [id, address] of Object.entries(addresses)) {
        const upstreams = upstreamNameservers(installation(id, address), file);
        assert.deepEqual(upstreams, nameserversOf(own.text), `${id} after ${said}`);
      }
      for (const ids of [IDS, IDS.toReversed()]) {
        let left = files;
        for (const id of ids) {
          const address = addresses[id];
          if (address !== undefined)
            left = await act(left, (path) => removeResolver(installation(id, address), places(path)));
        }
        const { target: _, ...others } = left;
        const first = own.link === null ? { text: own.text } : { link: own.link };
        assert.deepEqual(others, { 'resolv.conf': first }, `${said}, destroy ${ids}`);
      }
    }

    const seen = new Set<string>();
    const files = { 'resolv.conf': { text: FIRST }, target: { text: TARGETS[0]! } };
    let worlds: World[] = [{ files, own: { text: FIRST, link: null }, lines: [], addresses: {}, happened: [] }];
    for (let step = 0; step < 6; step += 1) {
      const following: World[] = [];
      for (const world of worlds) following.push(...(await next(world, act)));
      worlds = following.filter((world) => !seen.has(plain(world)) && seen.add(plain(world)));
      for (const world of worlds) await check(world);
    }
    assert.ok(seen.size > 500, String(seen.size));
  });
});
