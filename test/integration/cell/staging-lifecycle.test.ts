import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { KeptDroplets } from '../../../src/cell/rep/kept-droplets.ts';
import { type ArchiveEntry, zip } from '../../support/archives.ts';
import { TestBlobs } from '../../support/buildpacks.ts';
import { GARDEN_SKIP, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { silentLog } from '../../support/postgresql.ts';
import { sha256, stage } from '../../support/staging.ts';

/* The classic buildpack contract, with buildpacks of a few lines. */

let garden: TestGarden;
const blobs = new TestBlobs();
let serial = 0;

before(async () => {
  if (!GARDEN_SKIP) garden = await startTestGarden('stl', '10.254.31.0/24');
});
after(() => garden?.stop());

const SOURCE = zip([{ name: 'index.txt', content: 'source' }]);

/** A buildpack with these programs, each a bash script. */
function buildpack(programs: Record<string, string>, skipDetect = true) {
  const entries: ArchiveEntry[] = Object.entries(programs).map(([name, script]) => ({
    name: `bin/${name}`,
    content: `#!/bin/bash\n${script}\n`,
    mode: 0o100755,
  }));
  const name = `test_${++serial}`;
  return blobs.buildpack(
    name,
    `key-${name}`,
    zip([...entries, { name: 'VERSION', content: `1.0.${serial}\n` }]),
    '',
    skipDetect,
  );
}

const RELEASE = { release: 'echo "default_process_types: {web: ./run}"' };

function namesIn(droplet: Buffer): string[] {
  const tar = gunzipSync(droplet);
  const names: string[] = [];
  for (let at = 0; at < tar.length && tar[at] !== 0; ) {
    names.push(tar.toString('utf8', at, at + 100).replace(/\0.*$/s, ''));
    at += 512 + Math.ceil(Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8) / 512) * 512;
  }
  return names;
}

test('the first buildpack that detects does everything; a droplet has the places of Cloud Foundry (BPK-01)', {
  skip: GARDEN_SKIP,
}, async () => {
  const never = buildpack({ detect: 'exit 1', supply: 'exit 9' }, false);
  const first = buildpack(
    {
      detect: '[ -f "$1/index.txt" ] && echo "first app"',
      supply:
        'mkdir -p "$3/$4/bin" "$3/$4/lib" "$3/$4/profile.d"; echo "export A=1" >"$3/$4/profile.d/a.sh"; echo kept >"$2/kept"',
      finalize:
        'echo "stack $CF_STACK memory $MEMORY_LIMIT services $VCAP_SERVICES"; echo "finalized $4" >"$1/done.txt"; whoami; echo "in $LANG $(locale charmap) $(locale 2>&1 >/dev/null)"; test -d "$5"',
      ...RELEASE,
    },
    false,
  );
  const later = buildpack({ detect: 'echo later' }, false);
  const staged = await stage(garden, blobs, {
    source: SOURCE,
    buildpacks: [never, first, later],
    environment: { VCAP_SERVICES: '{"db":[]}' },
  });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  assert.deepEqual(staged.result?.lifecycle_metadata, {
    detected_buildpack: 'first app',
    buildpacks: [{ key: first.key, name: first.name, own_name: '', version: '1.0.2' }],
  });
  assert.deepEqual(staged.result?.process_types, { web: './run' });
  assert.equal(staged.result?.droplet.sha256, sha256(staged.droplet!));
  assert.ok(
    staged.lines.includes('stack debian12 memory 1024m services {"db":[]}'),
    'what services are bound is known (BPK-02)',
  );
  assert.ok(staged.lines.includes('vcap'));
  assert.ok(staged.lines.includes('in en_US.UTF-8 UTF-8 '), staged.lines.join('\n'));
  const names = namesIn(staged.droplet!);
  for (const name of [
    './app/index.txt',
    './app/done.txt',
    './deps/0/bin/',
    './profile.d/0_a.sh',
    './profile.d/000_multi-supply.sh',
    './logs/',
    './tmp/',
    './staging_info.yml',
  ]) {
    assert.ok(names.includes(name), `${name} in ${names.join(' ')}`);
  }
  assert.deepEqual(namesIn(staged.cache!), ['./', './kept']);
  const paths = execFileSync('tar', ['-xzO', './profile.d/000_multi-supply.sh'], {
    input: staged.droplet!,
    encoding: 'utf8',
  });
  const launched = (own: string) =>
    execFileSync('bash', ['-c', `PATH=/bin DEPS_DIR=/deps; ${own}${paths}echo "$PATH $LD_LIBRARY_PATH"`], {
      encoding: 'utf8',
    });
  // An empty name in one would be the working directory.
  assert.equal(launched('unset LD_LIBRARY_PATH; '), '/deps/0/bin:/bin /deps/0/lib\n');
  assert.equal(launched('LD_LIBRARY_PATH=/lib; '), '/deps/0/bin:/bin /deps/0/lib:/lib\n');
});

test('chosen buildpacks supply in order, the last finalizes, and none detects; ten or more have two digits', {
  skip: GARDEN_SKIP,
}, async () => {
  const say = (text: string) => `echo "${text} $4"`;
  const supplying = Array.from({ length: 9 }, (_, index) =>
    buildpack({ detect: 'exit 1', supply: `mkdir -p "$3/$4/lib"; ${say(`supply ${index}`)}` }),
  );
  const final = buildpack({
    supply: say('supply last'),
    finalize: `${say('finalize')}; echo "libraries in $LD_LIBRARY_PATH"`,
    ...RELEASE,
  });
  const staged = await stage(garden, blobs, { source: SOURCE, buildpacks: [...supplying, final] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  const said = staged.lines.filter((line) => /^(supply|finalize) /.test(line));
  assert.deepEqual(said, [
    ...supplying.map((_, index) => `supply ${index} 0${index}`),
    'supply last 09',
    'finalize 09',
  ]);
  const supplied = Array.from({ length: 9 }, (_, index) => `/home/vcap/deps/0${8 - index}/lib`);
  assert.ok(staged.lines.includes(`libraries in ${supplied.join(':')}`), staged.lines.join('\n'));
  assert.equal(staged.result?.lifecycle_metadata.buildpacks.length, 10);
});

test('launch.yml of a buildpack brings its processes and sidecars, and the builder adds no line of its own', {
  skip: GARDEN_SKIP,
}, async () => {
  const launch = (type: string, rest = '') =>
    `echo "processes: [{type: ${type}, command: ./${type}${rest}}]" >"$3/$4/launch.yml"`;
  const beside = ', platforms: {cloudfoundry: {sidecar_for: [web]}}';
  const supplying = buildpack({ supply: `echo supplied; ${launch('agent', beside)}` });
  const final = buildpack({ finalize: `echo finalized; ${launch('worker')}`, ...RELEASE });
  const staged = await stage(garden, blobs, { source: SOURCE, buildpacks: [supplying, final] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  assert.deepEqual(staged.result?.process_types, { web: './run', worker: './worker' });
  assert.deepEqual(staged.result?.sidecars, [
    { name: 'agent', command: './agent', process_types: ['web'], memory_in_mb: null },
  ]);
  const transfers = /^(Down|Up)load(ing|ed) /;
  assert.deepEqual(
    staged.lines.filter((line) => !transfers.test(line)),
    ['supplied', 'finalized'],
  );
});

test('an old buildpack with bin/compile works; a Procfile goes over its release', { skip: GARDEN_SKIP }, async () => {
  const old = buildpack({ compile: 'echo compiled >"$1/c"', ...RELEASE });
  const source = zip([{ name: 'Procfile', content: 'web: ./mine\nclock: ./tick' }]);
  const staged = await stage(garden, blobs, { source, buildpacks: [old] });
  assert.deepEqual(staged.result?.process_types, { web: './mine', clock: './tick' });
});

test('what fails is told by the reasons of the v3 API', { skip: GARDEN_SKIP }, async () => {
  const outcomes: [RegExp, Record<string, string>][] = [
    [/^BuildpackCompileFailed: /, { supply: 'exit 3', finalize: 'true' }],
    [/^BuildpackCompileFailed: /, { finalize: 'exit 3' }],
    [/^BuildpackCompileFailed: /, { release: 'true' }],
    [/^BuildpackReleaseFailed: /, { finalize: 'true', release: 'exit 3' }],
    [/^BuildpackReleaseFailed: /, { finalize: 'true', release: 'echo "a: &a [*a, *a]"' }],
    [/^StagingError: .*disk/, { finalize: 'head -c 200M /dev/zero >"$1/big" || exit 1' }],
    [/^StagingError: .*memory/, { finalize: 'x=$(head -c 300M /dev/zero | tr "\\\\0" x)' }],
  ];
  for (const [reason, programs] of outcomes) {
    const staged = await stage(garden, blobs, {
      source: SOURCE,
      buildpacks: [buildpack(programs)],
      memoryMb: 128,
      diskMb: 96,
    });
    assert.match(staged.failureReason, reason, staged.lines.join('\n'));
    assert.equal(staged.droplet, null);
  }
});

test('paths of a package that lead out are cut down to the app; links that lead out are not followed', {
  skip: GARDEN_SKIP,
}, async () => {
  const look = buildpack({ finalize: 'head -c 4 /etc/passwd; ls /home/vcap /tmp/output', ...RELEASE });
  const slipping = zip([
    { name: '../../home/vcap/slipped', content: 'x' },
    { name: '/tmp/output/absolute', content: 'x' },
  ]);
  const staged = await stage(garden, blobs, { source: slipping, buildpacks: [look] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  const names = namesIn(staged.droplet!);
  assert.ok(names.includes('./app/home/vcap/slipped') && names.includes('./app/tmp/output/absolute'), names.join(' '));
  assert.ok(!staged.lines.includes('slipped') && !staged.lines.includes('absolute'));

  const linking = zip([
    { name: 'out', content: '/home/vcap', mode: 0o120777 },
    { name: 'out/through', content: 'x' },
  ]);
  const refused = await stage(garden, blobs, { source: linking, buildpacks: [look] });
  assert.match(refused.failureReason, /^StagingError: /);
});

test('a package that is not the announced one is never unpacked', { skip: GARDEN_SKIP }, async () => {
  const buildpacks = [buildpack({ finalize: 'true', ...RELEASE })];
  await assert.rejects(stage(garden, blobs, { source: SOURCE, buildpacks, packageSha256: '0'.repeat(64) }), {
    code: 'blob_digest_mismatch',
  });
});

test('a droplet is kept for its start once staging has succeeded; one that is cancelled after its upload leaves none', {
  skip: GARDEN_SKIP,
}, async () => {
  const directory = await mkdtemp('/tmp/staging-kept-');
  const kept = new KeptDroplets({ directory, reserve: () => 0, log: silentLog });
  await kept.open();
  const buildpacks = [buildpack({ finalize: 'true', ...RELEASE })];
  const cancelling = new AbortController();
  const uploaded = Promise.withResolvers<void>();
  const ending: typeof blobs = Object.create(blobs, {
    upload: {
      async value({ url }: { url: string }, body: Readable) {
        await buffer(body);
        if (url.startsWith('droplet:')) return uploaded.resolve();
        await uploaded.promise;
        assert.equal((await readdir(directory)).length, 1);
        cancelling.abort(new Error('cancelled'));
        cancelling.signal.throwIfAborted();
      },
    },
  });
  await assert.rejects(
    stage(garden, ending, { source: SOURCE, buildpacks, signal: cancelling.signal }, { kept }),
    /cancelled/,
  );
  assert.deepEqual(await readdir(directory), []);

  const staged = await stage(garden, blobs, { source: SOURCE, buildpacks }, { kept });
  assert.ok(staged.droplet!.equals(await buffer(kept.read(sha256(staged.droplet!))!)));
  assert.equal((await readdir(directory)).length, 1);
  await kept.close();
  await rm(directory, { recursive: true });
});

test('SECURITY 32: a result that has no end to speak of is refused before it is read', {
  skip: GARDEN_SKIP,
  timeout: 60_000,
}, async () => {
  const sparse = buildpack({ finalize: 'truncate -s 15T /tmp/output/result/huge', ...RELEASE });
  const { failureReason } = await stage(garden, blobs, { source: SOURCE, buildpacks: [sparse] });
  assert.match(failureReason, /^BuildpackReleaseFailed: /);
});

test('a cancelled staging ends at once', { skip: GARDEN_SKIP }, async () => {
  const cancelling = new AbortController();
  const slow = buildpack({ finalize: 'echo started; sleep 60' });
  const staging = stage(garden, blobs, { source: SOURCE, buildpacks: [slow], signal: cancelling.signal });
  setTimeout(() => cancelling.abort(new Error('cancelled')), 1500);
  const started = performance.now();
  await assert.rejects(staging, /cancelled/);
  assert.ok(performance.now() - started < 10_000);
  assert.deepEqual(await garden.garden.list(), []);
});

test('SECURITY 32: what a buildpack leaves running ends before the droplet is taken out, and cannot hold that up', {
  skip: GARDEN_SKIP,
  timeout: 60_000,
}, async () => {
  // Nobody but the cell calls tar in that way.
  const held =
    'for words in $(grep -l directory=/tmp/output /proc/[0-9]*/cmdline); do kill -STOP $(tr -dc 0-9 <<< $words); done';
  const leaving = buildpack({
    finalize: `
      head -c 20000000 /dev/urandom > $1/large
      echo 'while true; do ${held}; done' > /tmp/holder
      setsid bash /tmp/holder < /dev/null &> /dev/null &
      sleep 0.2
      kill -0 $! && echo it runs`,
    ...RELEASE,
  });
  const signal = AbortSignal.timeout(20_000);
  const staged = await stage(garden, blobs, { source: SOURCE, buildpacks: [leaving], signal });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  assert.ok(staged.lines.includes('it runs'));
  assert.ok(staged.droplet && staged.droplet.length > 20_000_000);
});

test('a file that nobody may read is staged legibly, and the log says so', { skip: GARDEN_SKIP }, async () => {
  const source = zip([
    { name: 'closed/zero.txt', content: 'zero', mode: 0o100000 },
    { name: 'plain.txt', content: 'plain' },
  ]);
  const reader = buildpack({
    detect: 'true',
    compile: 'cat "$1/closed/zero.txt"; stat -c %a "$1/plain.txt"',
    ...RELEASE,
  });
  const staged = await stage(garden, blobs, { source, buildpacks: [reader] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  assert.ok(staged.lines.some((line) => /without permission to read/.test(line)));
  assert.ok(staged.lines.some((line) => line.startsWith('zero')));
});

test('names of files keep what is no letter, also what a terminal would not show', { skip: GARDEN_SKIP }, async () => {
  const source = zip(['new\nline', 'newline', 'tab\tbed', 'grün €'].map((name) => ({ name, content: name })));
  const reader = buildpack({ detect: 'true', compile: 'cd "$1" && ls -1 --quoting-style=escape', ...RELEASE });
  const staged = await stage(garden, blobs, { source, buildpacks: [reader] });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  for (const name of ['new\\nline', 'newline', 'tab\\tbed', 'grün\\ €'])
    assert.ok(staged.lines.includes(name), staged.lines.join('\n'));
});
