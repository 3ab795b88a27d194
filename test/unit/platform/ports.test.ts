import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freePorts } from '../../../src/platform/free-ports.ts';
import { portsOf, requirePorts } from '../../../src/platform/ports.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-ports-'));
after(() => rmSync(directory, { recursive: true }));

async function listening(address: string): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const bound = server.address();
  assert.ok(typeof bound === 'object' && bound !== null);
  return { server, port: bound.port };
}

test('what an installation writes down as its own ports, no outgoing connection is given', async () => {
  const settings = await ensureSettings({ dataDirectory: join(directory, 'data'), cells: 8, httpsPort: 8443 });
  const own = portsOf(settings).map(({ port }) => port);
  assert.equal(new Set(own).size, own.length);
  assert.ok(own.length > 16);
  for (const port of own) assert.ok(port >= 1024 && port < 32_768, String(port));
  const range = join(directory, 'range');
  writeFileSync(range, '12000\t60999\n');
  for (const port of await freePorts(50, range)) assert.ok(port < 12_000, String(port));
  writeFileSync(range, '1024\t65535\n');
  assert.equal((await freePorts(50, range)).length, 50, 'where connections have all');
});

test('a port for clients that somebody else holds at the same address stops `up`, by name', async () => {
  const { server, port } = await listening('127.0.0.1');
  const settings = testSettings({ httpsPort: port, httpPort: null, sshPort: null });
  await assert.rejects(requirePorts(settings, new Set()), {
    code: 'port_taken',
    message: new RegExp(`^port ${port} \\(HTTPS\\) is held by .*, process ${process.pid}: `),
  });
  await requirePorts(settings, new Set([process.pid]));
  await requirePorts({ ...settings, bindAddress: '127.0.0.99' }, new Set());
  await requirePorts({ ...settings, httpsPort: 1, ports: { ...settings.ports, nats: port } }, new Set());
  await new Promise((resolve) => server.close(resolve));
});

/** A process with those words in its command line that listens, as a process of an installation may. */
async function holder(...words: string[]) {
  const listen =
    "require('node:net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port); })";
  const child = spawn(process.execPath, ['--eval', listen, ...words]);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    pid: child.pid,
    settings: testSettings({ httpsPort: Number(said), httpPort: null, sshPort: null }),
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

test('a port that another installation has is not to be had by ending a process of it', async () => {
  await using other = await holder('/run/cupola-abc/programs/1/src/platform/supervisor-main.ts');
  const { pid, settings } = other;
  const port = settings.httpsPort;
  await assert.rejects(requirePorts(settings, new Set()), {
    message: `port ${port} (HTTPS) is held by another installation of Cupola, process ${pid}: take that one down, or use another port (./cupola up --https-port N)`,
  });
  const known = () => new Map([['abc', '/srv/cupola']]);
  await assert.rejects(requirePorts(settings, new Set(), known), {
    message: `port ${port} (HTTPS) is held by the installation of Cupola in /srv/cupola, process ${pid}: ./cupola down --data /srv/cupola stops it, or use another port (./cupola up --https-port N)`,
  });
});

test('a supervisor that runs from a checkout is known by its data directory, where the machine has that installation', async () => {
  await using other = await holder('/home/x/cupola/src/platform/supervisor-main.ts', '/srv/two');
  const known = () => new Map(Object.entries({ abc: '/srv/one', def: '/srv/two' }));
  await assert.rejects(requirePorts(other.settings, new Set(), known), {
    message:
      /is held by the installation of Cupola in \/srv\/two, process \d+: \.\/cupola down --data \/srv\/two stops it,/,
  });
  const unknown = /is held by another installation of Cupola, process \d+: take that one down,/;
  await assert.rejects(
    requirePorts(other.settings, new Set(), () => new Map([['abc', '/srv/one']])),
    { message: unknown },
  );
  const unreadable = () => {
    throw new Error('EACCES');
  };
  await assert.rejects(requirePorts(other.settings, new Set(), unreadable), { message: unknown });
});
