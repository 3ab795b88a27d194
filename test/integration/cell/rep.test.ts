import assert from 'node:assert/strict';
import { createHash, randomUUID, X509Certificate } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type Cell, createCell } from '../../../src/cell/cell.ts';
import type { InstanceAuthority } from '../../../src/cell/identity/instance-identity.ts';
import {
  type ActualLrp,
  type DesiredLrp,
  DesiredLrpSchema,
  Rep,
  TaskSchema,
} from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { createIntermediate, createRoot } from '../../../src/kit/pki.ts';
import { run } from '../../../src/kit/process.ts';
import { client, inMemoryTransport } from '../../../src/kit/rpc.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { GARDEN_SKIP, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { startOutside } from '../../support/outside.ts';

/** An HTTP server in the stack's own Perl: one request a connection; the path picks what it does. */
const APP = String.raw`
use strict; use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $ENV{PORT}, Listen => 16, ReuseAddr => 1) or die;
$SIG{TERM} = sub { print "asked to end\n"; sleep 1; print "ended well\n"; exit 0 };
print "listening on $ENV{PORT}\n"; print STDERR "a warning\n";
while (1) {
  my $c = $server->accept or next;
  my $line = <$c> or next;
  while (<$c>) { last if /^\r?$/ }
  my $body = 'hello';
  if ($line =~ m{^GET /exit/(\d+)}) { exit $1 }
  if ($line =~ m{^GET /env}) { $body = join("\n", map { "$_=$ENV{$_}" } sort keys %ENV) }
  if ($line =~ m{^GET /lines/(\d+)}) { print "line $_\n" for 1..$1 }
  if ($line =~ m{^GET /run/(\S+)}) { my $command = pack('H*', $1); $body = qx{{ $command; } 2>&1} }
  print $c "HTTP/1.0 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body"; close $c;
}
`;

describe('rep on a real garden', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let directory: string;
  let cell: Cell;
  let authority: InstanceAuthority;
  let droplet: { path: string; sha256: string };
  const { control, registry, ingress } = fakeControl();

  before(async () => {
    directory = await mkdtemp('/tmp/rep-int-');
    t = await startTestGarden('tra', '10.232.1.0/24');
    const from = new Date(Date.now() - 60_000);
    const to = new Date(Date.now() + 30 * 86_400_000);
    const root = await createRoot('instance identity root', from, to);
    const intermediate = await createIntermediate(root, 'instance identity', from, to);
    authority = { intermediate, rootCertificate: root.cert };
    droplet = await makeDroplet(join(directory, 'droplet'));
    cell = await openCell();
  });
  after(async () => {
    await cell.close();
    await t.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function openCell(): Promise<Cell> {
    const made = createCell({
      cellId: 'cell-tr',
      zone: 'z1',
      address: '127.0.0.1',
      repUrl: 'https://127.0.0.1:23500',
      stacks: ['debian12'],
      capacity: { memoryMb: 2048, diskMb: 8192, containers: 20 },
      placementTags: [],
      garden: t.garden,
      proxy: { register: async () => {}, rotate: async () => {}, unregister: async () => {} },
      proxyPort: 23501,
      registry,
      ingress,
      identity: authority,
      blobs: { fetch: async () => createReadStream(droplet.path), upload: async () => {} },
      lifecycleDirectory: resolve(import.meta.dirname, '../../../src/cell/staging/lifecycle'),
      runDirectory: join(directory, 'run'),
      stateDirectory: join(directory, 'state'),
      diskReserve: () => 0,
      log: new Logger('cell', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line)),
      timing: { drainMs: 100, graceMs: 5_000, heartbeatMs: 500, reconcileMs: 1_000, retryMs: 50 },
    });
    await made.start();
    return made;
  }

  const rep = () =>
    client(
      Rep,
      inMemoryTransport((router) => cell.routes(router)),
    );

  function lrp(changes: Partial<Omit<DesiredLrp, '$typeName' | '$unknown'>> = {}): DesiredLrp {
    const desired = create(DesiredLrpSchema, {
      processGuid: randomUUID(),
      stack: 'debian12',
      memoryMb: 128,
      diskMb: 256,
      logRateLimitBytesPerSecond: -1,
      startCommand: 'exec perl app.pl',
      environment: [{ name: 'VCAP_APPLICATION', value: '{"application_name":"web-app"}' }],
      ports: [8080],
      healthCheck: { type: 'port', timeoutSeconds: 20 },
      owner: {
        appGuid: randomUUID(),
        appName: 'web-app',
        spaceGuid: 'space-1',
        organizationGuid: 'org-1',
        processType: 'web',
      },
      droplet: { url: 'https://control/droplet', sha256: droplet.sha256 },
    });
    return Object.assign(desired, changes);
  }

  async function perform(desired: DesiredLrp): Promise<ActualLrp> {
    const refused = await rep().perform({ lrpStarts: [{ desiredLrp: desired, index: 0 }] });
    assert.equal(refused.lrpStarts.length, 0);
    const started = () =>
      control.calls.find(({ what, lrp }) => what === 'start' && lrp.processGuid === desired.processGuid);
    const crashed = () =>
      control.calls.find(({ what, lrp }) => what === 'crash' && lrp.processGuid === desired.processGuid);
    await eventually('it runs', () => (started() ?? crashed()) !== undefined, 20_000);
    assert.equal(crashed()?.lrp.crashReason, undefined);
    return started()!.lrp;
  }

  async function stop(actual: ActualLrp): Promise<void> {
    const { processGuid, index, instanceGuid } = actual;
    await rep().stopLrp({ processGuid, index, instanceGuid });
    await eventually('it is gone', async () => (await t.garden.lookup(actual.instanceGuid)) === null, 10_000);
  }

  const linesOf = (desired: DesiredLrp, sourceType: string) =>
    control.envelopes.flatMap(({ sourceId, message, tags }) =>
      sourceId === desired.owner?.appGuid && tags['source_type'] === sourceType && message.case === 'log'
        ? [Buffer.from(message.value.payload).toString()]
        : [],
    );

  const inside = (actual: ActualLrp, command: string) =>
    fetchText(actual.instanceAddress, `/run/${Buffer.from(command).toString('hex')}`);

  test('DGO-01, CTR-01, LOG-01: an instance comes up, serves, logs, and ends gracefully when it is stopped', async () => {
    const desired = lrp();
    const actual = await perform(desired);
    assert.equal(await fetchText(actual.instanceAddress, '/'), 'hello');
    const environment = await fetchText(actual.instanceAddress, '/env');
    for (const line of [
      'PORT=8080',
      'MEMORY_LIMIT=128m',
      'CF_INSTANCE_INDEX=0',
      `CF_INSTANCE_GUID=${actual.instanceGuid}`,
      `CF_INSTANCE_INTERNAL_IP=${actual.instanceAddress}`,
      'CF_INSTANCE_CERT=/etc/cf-instance-credentials/instance.crt',
      'CF_INSTANCE_KEY=/etc/cf-instance-credentials/instance.key',
      'CF_SYSTEM_CERT_PATH=/etc/cf-system-certificates',
      'HOME=/home/vcap/app',
      'USER=vcap',
    ]) {
      assert.ok(environment.split('\n').includes(line), line);
    }
    assert.equal(JSON.parse(/^VCAP_APPLICATION=(.*)$/m.exec(environment)![1]!).instance_id, actual.instanceGuid);
    const [stats] = (await rep().instanceStats({ instanceGuids: [actual.instanceGuid] })).stats;
    assert.ok(stats!.memoryBytes > 0n && stats!.cpuNanoseconds > 0n);
    await stop(actual);
    await eventually('the last lines arrive', () => linesOf(desired, 'APP/PROC/WEB').includes('Exit status 0'));
    assert.deepEqual(
      linesOf(desired, 'APP/PROC/WEB').filter((line) => line !== 'a warning'),
      ['listening on 8080', 'asked to end', 'ended well', 'Exit status 0'],
    );
    await eventually('the CELL lines arrive', () =>
      linesOf(desired, 'CELL').at(-1)!.includes('successfully destroyed'),
    );
    const { instanceGuid } = actual;
    assert.deepEqual(
      linesOf(desired, 'CELL').filter((line) => !line.startsWith('Downloaded')),
      [
        `Cell cell-tr creating container for instance ${instanceGuid}`,
        `Cell cell-tr successfully created container for instance ${instanceGuid}`,
        'Starting health monitoring of container',
        'Container became healthy',
        `Cell cell-tr stopping instance ${instanceGuid}`,
        `Cell cell-tr destroying container for instance ${instanceGuid}`,
        `Cell cell-tr successfully destroyed container for instance ${instanceGuid}`,
      ],
    );
    const envelope = control.envelopes.find(
      ({ sourceId, message }) => sourceId === desired.owner?.appGuid && message.case === 'log' && message.value.stderr,
    );
    assert.equal(envelope?.tags['app_name'], 'web-app');
    assert.equal(envelope?.tags['instance_id'], '0');
    assert.equal(envelope?.tags['process_instance_id'], instanceGuid);
    assert.equal(envelope?.tags['organization_id'], 'org-1');
    assert.deepEqual(control.reports(instanceGuid), ['claim', 'start', 'remove']);
  });

  test('IID-01 to IID-09: certificate, key and trusted roots are where the app is told, and they verify', async () => {
    const desired = lrp();
    const actual = await perform(desired);
    const chain = await inside(actual, 'cat $CF_INSTANCE_CERT');
    const [leafPem, intermediatePem] = chain.match(/-----BEGIN[\s\S]*?-----END CERTIFICATE-----\n/g)!;
    const leaf = new X509Certificate(leafPem!);
    assert.ok(leaf.subject.split('\n').includes(`CN=${actual.instanceGuid}`), 'IID-02');
    for (const unit of [`app:${desired.owner?.appGuid}`, 'space:space-1', 'organization:org-1']) {
      assert.ok(leaf.subject.split('\n').includes(`OU=${unit}`), `IID-03 ${unit}`);
    }
    assert.ok(leaf.subjectAltName?.includes(`IP Address:${actual.instanceAddress}`), 'IID-04');
    assert.ok(leaf.subjectAltName?.includes(`DNS:${actual.instanceGuid}`));
    const remaining = leaf.validToDate.getTime() - Date.now();
    assert.ok(remaining <= 86_400_000 && remaining > 86_400_000 - 60_000, 'IID-05: 24 hours from its issue');
    assert.ok(leaf.validFromDate.getTime() < Date.now() - 3_600_000, 'good also where a clock is an hour behind');
    assert.ok(leaf.verify(new X509Certificate(intermediatePem!).publicKey), 'IID-06: leaf first, its issuer after it');
    // IID-07 and IID-08: as OpenSSL and everything built on it sees it inside, by file and by the system's store.
    const verify = (store: string) =>
      inside(
        actual,
        `csplit -s -z -f /tmp/c- $CF_INSTANCE_CERT '/BEGIN/' '{*}'; openssl verify ${store} -untrusted /tmp/c-01 /tmp/c-00`,
      );
    assert.equal(await verify('-no-CApath -CAfile $CF_SYSTEM_CERT_PATH/trusted-ca-1.crt'), '/tmp/c-00: OK\n');
    assert.equal(await verify('-no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt'), '/tmp/c-00: OK\n');
    assert.equal(await verify('-no-CAfile -CApath /etc/ssl/certs'), '/tmp/c-00: OK\n');
    // The key belongs to the certificate, and nobody but vcap reads it.
    const publicKey = await inside(actual, 'openssl pkey -in $CF_INSTANCE_KEY -pubout');
    assert.equal(publicKey, leaf.publicKey.export({ type: 'spki', format: 'pem' }));
    assert.equal(
      await inside(actual, 'cd /etc/cf-instance-credentials; stat -c "%n %a %U" . instance.crt instance.key'),
      '. 500 vcap\ninstance.crt 400 vcap\ninstance.key 400 vcap\n',
    );
    assert.match(
      await inside(actual, 'touch $CF_INSTANCE_CERT; touch /etc/ssl/certs/x'),
      /Permission denied[\s\S]*Read-only/,
    );
    await stop(actual);
    await eventually('the key is gone', () => !existsSync(join(directory, 'run/credentials', actual.instanceGuid)));
  });

  test('a crash is reported with its exit code, its last lines arrive, and nothing is left', async () => {
    const desired = lrp();
    const actual = await perform(desired);
    await fetchText(actual.instanceAddress, '/exit/42').catch(() => {});
    await eventually('the crash is reported', () => control.reports(actual.instanceGuid).includes('crash'));
    const crash = control.calls.findLast(({ what }) => what === 'crash')!.lrp;
    assert.equal(crash.crashReason, 'APP/PROC/WEB: Exited with status 42');
    await eventually('it is gone', async () => (await t.garden.lookup(actual.instanceGuid)) === null);
    await eventually('its end is logged', () => linesOf(desired, 'APP/PROC/WEB').includes('Exit status 42'));
  });

  test('an app that takes more memory than it may is reported so', async () => {
    const desired = lrp({
      memoryMb: 32,
      healthCheck: { ...lrp().healthCheck!, type: 'process' },
      startCommand: `exec perl -e 'my @a; push @a, "x" x 1048576 while 1'`,
    });
    await rep().perform({ lrpStarts: [{ desiredLrp: desired, index: 0 }] });
    const crash = () =>
      control.calls.find(({ what, lrp }) => what === 'crash' && lrp.processGuid === desired.processGuid)?.lrp;
    await eventually('the crash is reported', () => crash() !== undefined, 20_000);
    assert.equal(crash()!.crashReason, 'APP/PROC/WEB: Exited with status 137 (out of memory)');
  });

  test('LOG-01: a burst of lines arrives whole and in order, over a restart of the cell', async () => {
    const desired = lrp();
    const actual = await perform(desired);
    await fetchText(actual.instanceAddress, '/lines/3000');
    await cell.close();
    await t.reopen();
    cell = await openCell();
    await fetchText(actual.instanceAddress, '/lines/2000');
    const numbered = () => linesOf(desired, 'APP/PROC/WEB').filter((line) => line.startsWith('line '));
    await eventually('all lines arrive', () => numbered().length >= 5000, 10_000);
    await new Promise((done) => setTimeout(done, 300));
    const expected = [3000, 2000].flatMap((count) => Array.from({ length: count }, (_, i) => `line ${i + 1}`));
    assert.deepEqual(numbered(), expected);
    await stop(actual);
  });

  test('DGO-03: a new cell process takes over what runs, watches it, and ends it well', async () => {
    const desired = lrp();
    const actual = await perform(desired);
    const before = await inside(actual, 'cat /proc/uptime; cat $CF_INSTANCE_CERT');
    await cell.close();
    assert.equal(await fetchText(actual.instanceAddress, '/'), 'hello', 'it serves while no cell process runs');
    await t.reopen();
    cell = await openCell();
    const state = await rep().state({});
    assert.ok(state.lrps.some(({ instanceGuid }) => instanceGuid === actual.instanceGuid));
    assert.ok(state.availableMemoryMb <= 2048 - 128);
    const certificate = await inside(actual, 'cat $CF_INSTANCE_CERT');
    assert.ok(before.endsWith(certificate), 'the same credentials');
    await fetchText(actual.instanceAddress, '/exit/9').catch(() => {});
    await eventually('its end is noticed', () => control.reports(actual.instanceGuid).includes('crash'));
    const crash = control.calls.findLast(({ what }) => what === 'crash')!.lrp;
    assert.equal(crash.crashReason, 'APP/PROC/WEB: Exited with status 9');
  });

  test('CTR-01: an app reaches nothing it was not allowed, and a changed rule counts at once', async () => {
    const outside = await startOutside('trout', '10.232.200.1', '10.232.200.2', [8001]);
    try {
      const other = await perform(lrp());
      const actual = await perform(lrp());
      const dial = (address: string, port: number) =>
        inside(actual, `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/${port} && echo reached' || echo denied`);
      assert.match(await dial(other.instanceAddress, 8080), /denied/, 'a neighbour');
      assert.match(await dial(outside.address, 8001), /denied/, 'the world');
      assert.equal(outside.accepted(), 0);
      const allow = { protocol: 'tcp', destination: outside.address, ports: '8001', type: -1, code: -1 };
      await rep().updateEgressRules({ processGuid: actual.processGuid, egressRules: [allow] });
      assert.match(await dial(outside.address, 8001), /reached/);
      await rep().updateEgressRules({ processGuid: actual.processGuid, egressRules: [] });
      assert.match(await dial(outside.address, 8001), /denied/);
      await Promise.all([stop(other), stop(actual)]);
    } finally {
      await outside.stop();
    }
  });

  test('a task runs its command to the end and its result is acknowledged', async () => {
    const task = (taskGuid: string, command: string) =>
      create(TaskSchema, {
        taskGuid,
        domain: 'cf-tasks',
        stack: 'debian12',
        memoryMb: 64,
        diskMb: 128,
        owner: { appGuid: taskGuid, processType: 'migrate' },
        work: { case: 'command', value: { command, droplet: { url: 'https://control/d', sha256: droplet.sha256 } } },
      });
    await rep().perform({ tasks: [task('task-good', 'echo done; pwd'), task('task-bad', 'exit 4')] });
    await eventually('both are reported', () => control.completed.length >= 2, 20_000);
    const of = (guid: string) => control.completed.find(({ taskGuid }) => taskGuid === guid)!;
    assert.equal(of('task-good').failed, false);
    assert.equal(of('task-bad').failed, true);
    assert.equal(of('task-bad').failureReason, 'APP/TASK/migrate: Exited with status 4');
    await eventually('its lines arrive', () => control.lines('APP/TASK/migrate').includes('/home/vcap/app'));
    assert.equal((await readFile(droplet.path)).length > 0, true);
  });

  test('from taking the work to a running container is quick once the droplet is there', async () => {
    const desired = lrp({ healthCheck: { ...lrp().healthCheck!, type: 'process' } });
    const began = performance.now();
    const actual = await perform(desired);
    const elapsed = performance.now() - began;
    process.stderr.write(`create → running: ${elapsed.toFixed(0)} ms\n`);
    await stop(actual);
    assert.ok(elapsed < 2_000);
  });
});

async function makeDroplet(directory: string): Promise<{ path: string; sha256: string }> {
  for (const name of ['app', 'deps', 'profile.d', 'tmp']) await mkdir(join(directory, name), { recursive: true });
  await writeFile(join(directory, 'app/app.pl'), APP);
  await writeFile(join(directory, 'staging_info.yml'), '{}');
  const path = `${directory}.tgz`;
  await run('tar', ['-czf', path, '-C', directory, '.']);
  return { path, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

function fetchText(host: string, path: string): Promise<string> {
  const { promise, resolve: done, reject } = Promise.withResolvers<string>();
  const call = request({ host, port: 8080, path, agent: false, timeout: 10_000 }, (response) => {
    let body = '';
    response.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    response.on('end', () => done(body));
    response.on('error', reject);
  });
  call.on('timeout', () => call.destroy(new Error('no answer')));
  call.on('error', reject);
  call.end();
  return promise;
}
