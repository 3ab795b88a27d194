import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type Cell, createCell } from '../../../src/cell/cell.ts';
import type { InstanceAuthority } from '../../../src/cell/identity/instance-identity.ts';
import { DesiredLrpSchema, Rep, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { createIntermediate } from '../../../src/kit/pki.ts';
import { run } from '../../../src/kit/process.ts';
import { client, inMemoryTransport } from '../../../src/kit/rpc.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { GARDEN_SKIP, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

const APP = String.raw`
use strict; use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $ENV{PORT}, Listen => 16, ReuseAddr => 1) or die;
while (my $c = $server->accept) {
  while (<$c>) { last if /^\r?$/ }
  my $body = "instance $ENV{CF_INSTANCE_GUID}";
  print $c "HTTP/1.0 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body"; close $c;
}
`;

const BUILDPACK = {
  detect: '#!/bin/bash\n[ -f "$1/app.pl" ] && echo "perl 1"\n',
  supply:
    '#!/bin/bash\nopenssl verify -CAfile $CF_SYSTEM_CERT_PATH/trusted-ca-1.crt -untrusted $CF_INSTANCE_CERT $CF_INSTANCE_CERT | sed "s/.*: /identity /"\n',
  finalize: `#!/bin/bash\necho "on $CF_INSTANCE_IP, not $CF_INSTANCE_INTERNAL_IP, $CF_INSTANCE_PORTS \${CF_INSTANCE_PORT-unset} \${CF_INSTANCE_ADDR-unset}."\n`,
  release: '#!/bin/bash\nprintf -- "---\\ndefault_process_types:\\n  web: exec perl app.pl\\n"\n',
};

describe('from package to request', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let path: RequestPath;
  let directory: string;
  let authority: InstanceAuthority;
  let cell: Cell;
  const blobs = new Map<string, string>();
  const fetched: string[] = [];
  const { control, registry, ingress } = fakeControl();

  before(async () => {
    directory = await mkdtemp('/tmp/rep-path-');
    t = await startTestGarden('trb', '10.232.2.0/24');
    path = await startRequestPath({ firstPort: 23510, prefix: 'rep-path' });
    const from = new Date(Date.now() - 60_000);
    const to = new Date(Date.now() + 30 * 86_400_000);
    authority = {
      intermediate: await createIntermediate(path.pki.instanceRoot, 'instance identity', from, to),
      rootCertificate: path.pki.instanceRoot.cert,
    };
    cell = await openCell('state');
  });
  after(async () => {
    await cell.close();
    await path.close();
    await t.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function openCell(state: string): Promise<Cell> {
    const made = createCell({
      cellId: 'cell-tr',
      zone: 'z1',
      address: '127.0.0.1',
      repUrl: 'https://127.0.0.1:23509',
      stacks: ['debian12'],
      capacity: { memoryMb: 2048, diskMb: 8192, containers: 20 },
      placementTags: [],
      garden: t.garden,
      proxy: path.cell,
      proxyPort: path.cellPort,
      registry,
      ingress,
      identity: authority,
      blobs: {
        fetch: async ({ url }) => {
          fetched.push(url);
          return createReadStream(blobs.get(url)!);
        },
        upload: async ({ url }, body) => {
          const file = join(directory, `blob-${blobs.size}`);
          await writeFile(file, await buffer(body));
          blobs.set(url, file);
        },
      },
      lifecycleDirectory: resolve(import.meta.dirname, '../../../src/cell/staging/lifecycle'),
      runDirectory: join(directory, 'run'),
      stateDirectory: join(directory, state),
      diskReserve: () => 0,
      log: new Logger('cell', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line)),
      timing: { reconcileMs: 1_000 },
    });
    await made.start();
    return made;
  }

  const rep = () =>
    client(
      Rep,
      inMemoryTransport((router) => cell.routes(router)),
    );

  /** A zip of these files, as a blob. */
  async function zip(name: string, files: Record<string, string>) {
    const root = join(directory, name);
    for (const [file, content] of Object.entries(files)) {
      await mkdir(join(root, file, '..'), { recursive: true });
      await writeFile(join(root, file), content);
      await chmod(join(root, file), 0o755);
    }
    const archive = `${root}.zip`;
    await run('zip', ['-q', '-r', archive, '.'], { cwd: root });
    blobs.set(name, archive);
    return { url: name, sha256: createHash('sha256').update(readFileSync(archive)).digest('hex') };
  }

  test('DGO-01, IID-12: a package is staged, its droplet runs, and a request reaches it by name-checked TLS', async () => {
    const owner = { appGuid: randomUUID(), appName: 'web-app', processType: 'web' };
    const bin = Object.fromEntries(Object.entries(BUILDPACK).map(([name, text]) => [`bin/${name}`, text]));
    const taskGuid = randomUUID();
    const task = create(TaskSchema, {
      taskGuid,
      domain: 'cf-app-staging',
      stack: 'debian12',
      memoryMb: 512,
      diskMb: 1024,
      owner,
      work: {
        case: 'staging',
        value: {
          package: await zip('package', { 'app.pl': APP }),
          buildpacks: [{ name: 'perl', key: 'perl-1', blob: await zip('buildpack', bin) }],
          uploadDroplet: { url: 'droplet' },
        },
      },
    });
    await rep().perform({ tasks: [task] });
    await eventually('it is staged', () => control.completed.length > 0, 30_000);
    const [staged] = control.completed;
    assert.equal(staged!.failureReason, '');
    await eventually('the staging log arrives', () => control.lines('STG').includes('Uploading complete'));
    assert.ok(control.lines('STG').includes('identity OK'), 'staging has an identity of its own');
    const place = control.lines('STG').find((line) => line.startsWith('on '));
    assert.match(place ?? '', /^on 127\.0\.0\.1, not 10\.232\.\d+\.\d+, \[\] {2}\.$/, 'and knows where it runs');
    const { droplet, process_types: types } = JSON.parse(staged!.result);
    const kept = join(directory, 'state/kept-droplets');
    assert.equal(readdirSync(kept).length, 1);

    const desiredLrp = create(DesiredLrpSchema, {
      processGuid: randomUUID(),
      stack: 'debian12',
      memoryMb: 128,
      diskMb: 256,
      logRateLimitBytesPerSecond: -1,
      startCommand: types.web,
      ports: [8080],
      healthCheck: { type: 'http', httpEndpoint: '/' },
      owner,
      droplet: { url: 'droplet', sha256: droplet.sha256 },
    });
    await rep().perform({ lrpStarts: [{ desiredLrp, index: 0 }] });
    await eventually('it runs', () => control.reports().includes('start'), 20_000);
    assert.ok(!fetched.includes('droplet'), 'the cell that staged it has it');
    await eventually('the layer is what it has of it', () => readdirSync(kept).length === 0);
    const { instanceGuid, processGuid, index } = control.calls.find(({ what }) => what === 'start')!.lrp;
    await path.setRoutes({ host: `web.${path.domain}`, instances: [{ guid: instanceGuid, index: 0 }] });
    const answer = await get(path);
    assert.deepEqual(answer, { status: 200, body: `instance ${instanceGuid}` });

    await rep().stopLrp({ processGuid, index, instanceGuid });
    await eventually('it is gone', async () => (await t.garden.lookup(instanceGuid)) === null, 15_000);
    assert.equal((await get(path)).status, 502, 'its route is still there, and reaches nobody');
    assert.equal((await t.garden.list()).length, 0);

    await cell.close();
    await t.garden.pruneLayers();
    cell = await openCell('state-of-another');
    await rep().perform({ lrpStarts: [{ desiredLrp: { ...desiredLrp, processGuid: randomUUID() }, index: 0 }] });
    const starts = () => control.calls.filter(({ what }) => what === 'start');
    await eventually('it runs on a cell that did not stage it', () => starts().length === 2, 20_000);
    assert.deepEqual(
      fetched.filter((url) => url === 'droplet'),
      ['droplet'],
    );
    const { lrp } = starts()[1]!;
    const { instanceGuid: other } = lrp;
    await rep().stopLrp({ processGuid: lrp.processGuid, index: 0, instanceGuid: other });
    await eventually('it is gone', async () => (await t.garden.lookup(other)) === null, 15_000);
  });
});

function get({ httpsPort, domain, pki }: RequestPath): Promise<{ status: number | undefined; body: string }> {
  const { promise, resolve: done, reject } = Promise.withResolvers<{ status: number | undefined; body: string }>();
  const host = `web.${domain}`;
  const call = request(
    { host: '127.0.0.1', port: httpsPort, servername: host, headers: { host }, ca: pki.routerRoot.cert, agent: false },
    (response) => {
      buffer(response).then((body) => done({ status: response.statusCode, body: body.toString() }), reject);
    },
  );
  call.on('error', reject);
  call.end();
  return promise;
}
