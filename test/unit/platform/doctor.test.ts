import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { lockFile } from '../../../src/kit/lock.ts';
import { identify } from '../../../src/kit/process.ts';
import type { PlatformStatus } from '../../../src/platform/admin-messages.ts';
import { examine } from '../../../src/platform/doctor/doctor.ts';
import { type Finding, renderFindings } from '../../../src/platform/doctor/finding.ts';
import { installed } from '../../../src/platform/doctor/installed.ts';
import { kernelFindings } from '../../../src/platform/doctor/kernel.ts';
import { limitFindings } from '../../../src/platform/doctor/limits.ts';
import { clockFindings, diskFindings, domainFinding, nameFindings } from '../../../src/platform/doctor/machine.ts';
import { platformFindings } from '../../../src/platform/doctor/platform.ts';
import { portFindings } from '../../../src/platform/doctor/ports.ts';
import { runningPlatform } from '../../../src/platform/doctor/running.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { parseListeners } from '../../../src/platform/ports.ts';
import { writeProcesses } from '../../../src/platform/processes.ts';
import { supervisorLockOf } from '../../../src/platform/program.ts';
import { testSettings } from '../../support/settings.ts';

const scratch = mkdtempSync(join(tmpdir(), 'cupola-doctor-test-'));
after(() => rmSync(scratch, { recursive: true }));

/** A machine as /proc, /sys and /dev show it. */
function machine(name: string, files: Record<string, string>): string {
  const root = join(scratch, name);
  const common = {
    'proc/sys/kernel/osrelease': '6.1.0-26-amd64\n',
    'proc/sys/user/max_user_namespaces': '96000\n',
    'proc/filesystems': 'nodev\tsysfs\nnodev\toverlay\n\text4\n',
    'proc/sys/kernel/seccomp/actions_avail': 'kill_process kill_thread trap errno user_notif trace log allow\n',
    'proc/net/netfilter/nf_log': '',
    'dev/loop-control': '',
    'proc/swaps': 'Filename Type Size Used Priority\n',
    'proc/cmdline': 'quiet',
    'proc/sys/net/ipv4/ip_forward': '1\n',
    ...Object.fromEntries(['pid', 'net', 'mnt', 'ipc', 'uts', 'cgroup'].map((kind) => [`proc/self/ns/${kind}`, ''])),
  };
  for (const [path, text] of Object.entries({ ...common, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const V2 = { 'sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory hugetlb pids rdma misc\n' };
const V1 = Object.fromEntries(
  ['cpu', 'cpuacct', 'memory', 'pids', 'devices', 'freezer'].map((name) => [`sys/fs/cgroup/${name}/tasks`, '']),
);
const notOk = (findings: Finding[]) =>
  findings.filter(({ state }) => state !== 'ok').map(({ what, state }) => `${state} ${what}`);
const found = (findings: Finding[], what: string) => findings.find((finding) => finding.what === what);

test('a machine with control groups of version 2 is fine, and so is one of version 1', () => {
  const two = kernelFindings(machine('v2', V2));
  assert.deepEqual(notOk(two), []);
  assert.equal(found(two, 'cgroup layout')?.found, 'version 2');
  const one = kernelFindings(machine('v1', V1));
  assert.deepEqual(notOk(one), []);
  assert.equal(found(one, 'cgroup layout')?.found, 'version 1');
  const hybrid = kernelFindings(machine('hybrid', { ...V1, 'sys/fs/cgroup/unified/cgroup.controllers': '' }));
  assert.equal(found(hybrid, 'cgroup layout')?.found, 'version 1');
});

test('what is missing is named, with what to do', () => {
  const findings = kernelFindings(
    machine('poor', {
      'sys/fs/cgroup/cgroup.controllers': 'cpu pids\n',
      'proc/sys/kernel/osrelease': '5.4.0-generic\n',
      'proc/sys/user/max_user_namespaces': '0\n',
      'proc/filesystems': '\text4\n',
      'proc/swaps': 'Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n',
      'proc/cmdline': 'quiet swapaccount=0',
    }),
  );
  assert.deepEqual(notOk(findings), [
    'fail version (ID-mapped mounts)',
    'fail user namespaces',
    'warn overlay file system',
    'fail cgroup controllers',
    'warn swap accounting',
  ]);
  assert.ok(findings.every(({ state, advice }) => state === 'ok' || (advice ?? '') !== ''));
});

test('limits too low for the platform fail, tight ones are to be looked at', () => {
  const limits = (descriptors: string) =>
    machine(`limits-${descriptors}`, {
      'proc/self/limits': `Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 ${descriptors}                files\n`,
      'proc/sys/fs/file-max': '2000000\n',
      'proc/sys/kernel/pid_max': '32768\n',
      'proc/sys/kernel/threads-max': '100000\n',
      'proc/sys/fs/inotify/max_user_instances': '128\n',
      'proc/sys/fs/inotify/max_user_watches': '8192\n',
    });
  assert.deepEqual(notOk(limitFindings(limits('524288'), 8 * 2 ** 30)), []);
  assert.deepEqual(notOk(limitFindings(limits('unlimited'), 8 * 2 ** 30)), []);
  assert.deepEqual(notOk(limitFindings(limits('4096'), 8 * 2 ** 30)), ['warn open files (hard limit)']);
  assert.deepEqual(notOk(limitFindings(limits('256'), 2 ** 30)), ['fail open files (hard limit)', 'warn memory']);
});

test('a port that is taken is named with its holder; the platform’s own are fine', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const wanted = [{ port, purpose: 'HTTPS' }];
  const [taken] = portFindings(wanted, new Set());
  assert.equal(taken?.state, 'fail');
  assert.match(taken?.found ?? '', new RegExp(`process ${process.pid}`));
  assert.equal(portFindings(wanted, new Set([process.pid]))[0]?.state, 'ok');
  const [unseen] = portFindings(wanted, new Set(), true);
  assert.equal(unseen?.state, 'warn');
  assert.match(unseen?.advice ?? '', /may be the platform itself: ask as root/);
  await new Promise((resolve) => server.close(resolve));
  assert.equal(portFindings(wanted, new Set())[0]?.found, 'free');
});

test('listening sockets are read from /proc/net/tcp and tcp6; others are not', () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x
   1: 0100007F:A3F2 0100007F:01BB 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 x`;
  assert.deepEqual(parseListeners(text), [
    { port: 443, inode: '4711' },
    { port: 80, inode: '4713' },
  ]);
});

test('a clock that lies before the program was written fails', async () => {
  const findings = await clockFindings(Date.now() + 86_400_000);
  assert.equal(found(findings, 'time')?.state, 'fail');
  assert.equal(found(await clockFindings(0), 'time')?.state, 'ok');
});

test('the disk is looked at where the data will lie, before the directory is there, and nothing is left behind', () => {
  const findings = diskFindings(join(scratch, 'not/yet/there'));
  assert.match(found(findings, 'room')?.found ?? '', new RegExp(`at ${scratch}$`));
  assert.match(found(findings, 'speed')?.found ?? '', /^\d+\.\d ms/);
});

test('a platform that is not well, or whose certificates near their end, is told apart from one that is', () => {
  const dataDirectory = join(scratch, 'data');
  mkdirSync(dataDirectory, { mode: 0o700 });
  const keyFile = join(scratch, 'key');
  writeFileSync(keyFile, '', { mode: 0o400 });
  const settings = testSettings({ dataDirectory, keyFile });
  const now = Date.now();
  const at = (days: number) => new Date(now + days * 86_400_000).toISOString();
  const status: PlatformStatus = {
    ready: true,
    api: 'https://api.cupola.localhost',
    components: [{ name: 'control', pid: 1, state: 'running', restarts: 0, account: 'cupola-control' }],
    certificates: [
      { name: 'control', notAfter: at(60) },
      { name: 'cell-0 (first of 3 instances)', notAfter: at(0.5) },
    ],
    cells: [{ id: 'cell-0', lastSeen: new Date(now).toISOString() }],
    notRouted: [],
    supervisor: { pid: 1, project: '/', program: 'x', node: '/node' },
    update: { outdated: [], problem: null, running: false },
    rotation: null,
  };
  assert.deepEqual(notOk(platformFindings(settings, status, { now })), []);
  assert.deepEqual(notOk(platformFindings(settings, { ...status, notRouted: ['route x claims a name'] }, { now })), [
    'warn routes',
  ]);
  const http1 = { ...status, servedAsHttp1: ['a.example.org of app a (guid)'] };
  assert.deepEqual(notOk(platformFindings(settings, http1, { now })), ['warn HTTP/2 to apps']);
  assert.deepEqual(notOk(platformFindings(settings, null, { now })), ['warn installation']);
  const ill: PlatformStatus = {
    ...status,
    ready: false,
    components: [{ ...status.components[0]!, state: 'stopped', restarts: 3, faults: 2 }],
    cells: [{ id: 'cell-0', lastSeen: at(-1) }],
    certificates: [
      { name: 'control', notAfter: at(3) },
      { name: 'router', notAfter: at(-1) },
    ],
  };
  assert.deepEqual(notOk(platformFindings(settings, ill, { now })), [
    'fail installation',
    'fail components',
    'warn restarts',
    'warn uncaught errors',
    'fail cells',
    'warn certificate control',
    'fail certificate router',
  ]);
});

test('it works where nothing is installed, and its lines say ok, warn or fail', async () => {
  const findings = await examine(join(scratch, 'nothing'));
  assert.equal(found(findings, 'installation')?.found, 'none yet; ./cupola up makes one');
  const text = renderFindings(findings);
  assert.match(text, /^kernel$/m);
  assert.match(text, /^ {2}(ok|warn|fail) +\S/m);
  assert.match(text, /\d+ ok, \d+ to look at, \d+ in the way$/);
});

test('a supervisor that does not answer is not taken for one that does not run, nor its ports for those of others', {
  timeout: 30_000,
}, async (t) => {
  const directory = join(scratch, 'silent');
  const settings = testSettings({ id: 'zzw', dataDirectory: directory });
  const layout = layoutOf(settings);
  mkdirSync(dirname(layout.supervisorSocket), { recursive: true });
  t.after(() => rmSync(layout.run, { recursive: true }));
  using _ = lockFile(supervisorLockOf(layout.run), 'supervisor');
  const child = identify(process.ppid)!;
  writeProcesses(layout.processesFile, { nats: child });
  const server = createServer((socket) => t.after(() => socket.destroy()));
  t.after(() => server.close());
  await new Promise<void>((done) => server.listen(layout.supervisorSocket, done));
  chmodSync(layout.supervisorSocket, 0o600);
  const { status, running, own, silence } = await runningPlatform(settings);
  assert.deepEqual([status, running, own], [null, true, new Set([process.pid, child.pid])]);
  assert.equal(
    silence?.found.split(' in 10 s')[0],
    `the supervisor (process ${process.pid}) gave no answer to GET /status`,
  );
  mkdirSync(directory, { mode: 0o700 });
  assert.deepEqual(platformFindings(settings, null, { silence })[0], silence);
});

test('damaged settings are in the way, and not taken for none', () => {
  const directory = join(scratch, 'damaged');
  mkdirSync(directory);
  assert.deepEqual(installed(directory), { settings: null, hidden: false, problems: [] });
  const settings = testSettings({ dataDirectory: directory });
  writeFileSync(join(directory, 'settings.json'), JSON.stringify(settings));
  assert.deepEqual(installed(directory), { settings, hidden: false, problems: [] });
  writeFileSync(join(directory, 'settings.json'), JSON.stringify({ ...settings, cells: 0 }));
  const { problems } = installed(directory);
  assert.deepEqual(
    problems.map(({ state, what, found }) => [state, what, found]),
    [['fail', 'settings', `${directory}/settings.json: cells must be >= 1`]],
  );
  chmodSync(join(directory, 'settings.json'), 0o666);
  const { state, found: said } = installed(directory).problems[0]!;
  assert.equal(state, 'fail');
  assert.match(said, /settings\.json is no plain file of root's, or others may change it$/);
});

test('which names lead to an installation that is not shown is not guessed', async () => {
  const names = async (hidden: boolean) =>
    (await nameFindings(null, { running: false, hidden })).map(({ what }) => what);
  assert.deepEqual(await names(false), ['name servers', 'api.cupola.localhost']);
  assert.deepEqual(await names(true), ['name servers']);
});

test('a name that leads elsewhere is told with what was seen, and `up` is advised where its line is missing', () => {
  const settings = testSettings({ domain: 'cupola.localhost', resolverAddress: '127.0.53.1' });
  const finding = (address: string | null, servers: string[]) => {
    const text = servers.map((server) => `nameserver ${server}\n`).join('');
    const { state, found, advice } = domainFinding(settings, 'api.cupola.localhost', { address, text });
    return [state, found, advice ?? ''].join(' | ');
  };
  assert.equal(finding('127.0.0.1', ['10.0.0.2']), 'ok | leads to 127.0.0.1 | ');
  assert.equal(
    finding(null, ['10.0.0.2']),
    'fail | leads nowhere, not to 127.0.0.1; 127.0.53.1 is missing in /etc/resolv.conf | ./cupola up puts 127.0.53.1 there',
  );
  for (const [servers, found] of [
    [
      ['127.0.53.9', '127.0.53.1', '10.0.0.2'],
      /^fail \| leads to 192\.0\.2\.7, .*; 127\.0\.53\.9 is asked before 127\.0\.53\.1 \|/,
    ],
    [['127.0.53.1', '10.0.0.2'], /^fail \| leads to 192\.0\.2\.7, .*, though 127\.0\.53\.1 is asked first \|/],
    [['127.0.0.53'], /^fail \| leads to 192\.0\.2\.7, .* \| systemd-resolved /],
  ] as const) {
    assert.match(finding('192.0.2.7', [...servers]), found);
    assert.doesNotMatch(finding('192.0.2.7', [...servers]), /cupola up/);
  }
});

test('an installation that is not shown to the account is not taken for none', {
  skip: process.getuid?.() === 0 ? false : 'changes the account, which needs root',
}, () => {
  const directory = join(scratch, 'hidden');
  mkdirSync(directory, { mode: 0o700 });
  chmodSync(scratch, 0o755);
  process.seteuid!(65534);
  try {
    const { settings, hidden, problems } = installed(directory);
    assert.deepEqual([settings, hidden, problems.map(({ advice }) => advice)], [null, true, ['ask as root']]);
  } finally {
    process.seteuid!(0);
  }
});
