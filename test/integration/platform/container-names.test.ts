import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { renderDnsConfig } from '../../../src/platform/host/dns-config.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import { answer, ask, bound, query } from '../../support/dns-queries.ts';

const SKIP = process.getuid?.() === 0 ? false : 'needs root';
const HERE = '127.0.54.1';
const UPSTREAM = '127.0.54.2';

describe('the name server of containers', { skip: SKIP }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-dns-'));
  let dnsmasq: ChildProcess;
  let upstream: Socket;
  let waiting = 0;
  before(async () => {
    upstream = await bound(UPSTREAM, 53);
    upstream.on('message', (question, from) => {
      if (question.includes('nobody')) waiting += 1;
      else upstream.send(answer(question), from.port, from.address);
    });
    const settings = await ensureSettings({ dataDirectory: join(directory, 'data') });
    const config = join(directory, 'dnsmasq.conf');
    const servers = join(directory, 'servers.conf');
    writeFileSync(servers, `server=${UPSTREAM}\n`);
    writeFileSync(config, renderDnsConfig({ ...settings, gateway: HERE }, 'containers', servers));
    dnsmasq = spawn('dnsmasq', ['--keep-in-foreground', `--conf-file=${config}`, '--user=root'], { stdio: 'ignore' });
  });
  after(async () => {
    dnsmasq.kill('SIGKILL');
    upstream.close();
    rmSync(directory, { recursive: true });
  });

  test('SECURITY 32: names nobody answers, as many as one container may ask at once, keep no other from being found', async (context) => {
    for (let tries = 0; (await ask(HERE, 'first.example', 200))?.code !== 0; tries += 1)
      assert.ok(tries < 50, 'it answers');
    const flood = await bound('127.0.0.1', 0);
    context.after(() => flood.close());
    const refusals: number[] = [];
    flood.on('message', (message) => refusals.push(message[3]! & 15));
    const asked = 1500;
    for (let id = 0; id < asked; id += 1) {
      flood.send(query(id, `n${id}.nobody.example`), 53, HERE);
      if (id % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(waiting > 1000, `${waiting} wait for an answer`); // a datagram may be lost
    assert.equal((await ask(HERE, 'second.example', 2000))?.code, 0);
    assert.deepEqual(refusals, []);
  });
});
