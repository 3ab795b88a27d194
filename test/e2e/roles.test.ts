import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { SEPARABLE } from '../../src/platform/roles/names.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually } from '../support/platform.ts';
import { figures, judge, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
/** How long a role is kept from coming back at least, and at most where the others are asked slowly; and how soon all is well after that: a supervisor waits longer each time. */
const AWAY_MS = 3_000;
const LONGEST_AWAY_MS = 20_000;
const RECOVERY_MS = 15_000;
const EVERY_MS = 100;

/** What a client comes for, and the processes that it takes: who may read a log is the API's to say. */
type Surface = 'api' | 'sign-in' | 'logs' | 'ssh';
const SERVED_BY: Record<Surface, readonly string[]> = {
  api: ['control'],
  'sign-in': ['uaa'],
  logs: ['logs', 'control'],
  ssh: ['ssh'],
};
/** So many answers of each while a role is away. */
const ANSWERS = 4;

/** The groups of components that are not before all else. */
const GROUP_OF: Record<string, string> = {
  ...Object.fromEntries(['control', 'brain', 'routing', 'ssh', 'nats'].map((name) => [name, 'control'])),
  ...{ postgresql: 'database', uaa: 'uaa', logs: 'logs', 'cell-0': 'cells', 'cell-1': 'cells' },
  ...{ dns: 'names', 'dns-containers': 'names' },
};

/** That by which the processors are shared. */
function groupOf(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  return lines.find((line) => /^\d+:(?:.+,)?cpu(?:,.+)?:|^0::\/./.test(line)) ?? '';
}

describe('a platform whose roles have a process each', { skip: SKIP }, () => {
  const platform = new UsedPlatform({
    httpsPort: 8451,
    domain: 'roles.cupola.localhost',
    options: ['--separate-roles', SEPARABLE.join(',')],
  });
  let token = '';
  let app = '';

  before(async () => {
    await platform.prepare();
    token = (await platform.run('oauth-token')).trim().replace(/^bearer /i, '');
    app = (await platform.run('app', 'steady', '--guid')).trim();
  });
  after(() => platform.remove());

  test('ARCH-12: each is a process of its own, and an app that was pushed is served', async () => {
    const { components, ready } = await platform.status();
    const own = components.filter(({ name }) => name === 'control' || SEPARABLE.some((role) => role === name));
    assert.equal(new Set(own.map(({ pid }) => pid)).size, 6);
    assert.ok(ready);
    assert.equal((await platform.request('steady')).status, 200);
  });

  test('ARCH-12: what the roles do together is done: the log of the app is read, and a command is run in it', async () => {
    assert.match(await platform.run('logs', 'steady', '--recent'), /APP\/PROC\/WEB/);
    assert.match(await platform.run('ssh', 'steady', '-c', 'echo in $CF_INSTANCE_INDEX'), /in 0/);
  });

  for (const role of [...SEPARABLE, 'control']) {
    test(`ARCH-12, HLT-03: ${role} is killed time and again: the others serve, and it comes back`, async (context) => {
      const failed: string[] = [];
      const asked: Record<Surface, number> = { api: 0, 'sign-in': 0, logs: 0, ssh: 0 };
      const seen = await platform.whileUsed(async () => {
        const over = new AbortController();
        const others = (Object.keys(SERVED_BY) as Surface[]).filter((surface) => !SERVED_BY[surface].includes(role));
        const asking = others.map(async (surface) => {
          for (; !over.signal.aborted; await pause(EVERY_MS)) {
            const problem = await ask(surface).catch((error: unknown) => String(error));
            asked[surface] += 1;
            if (problem !== null) failed.push(`${surface}: ${problem}`);
          }
        });
        const killed = await keepAway(role, () => others.every((surface) => asked[surface] >= ANSWERS));
        over.abort();
        await Promise.all(asking);
        await platform.recovered(killed, RECOVERY_MS);
      });
      context.diagnostic(`${JSON.stringify(asked)}; ${figures(seen)}`);
      judge(seen, 0);
      assert.deepEqual(failed, []);
      for (const [surface, times] of Object.entries(asked)) {
        if (SERVED_BY[surface as Surface].includes(role)) continue;
        assert.ok(times >= ANSWERS, `${surface} was asked ${times} times`);
      }
    });
  }

  test('ARCH-12: each has its share of the processors, also one that came back, and when another supervisor takes over', async () => {
    const { supervisor } = await platform.status();
    process.kill(supervisor.pid, 'SIGKILL');
    await platform.recovered([supervisor.pid], RECOVERY_MS);
    await eventually('every process is in its group', async () => {
      const { components } = await platform.status();
      return components.every(
        ({ name, pid }) => pid !== null && groupOf(pid).endsWith(`-${GROUP_OF[name] ?? 'front'}`),
      );
    });
  });

  /** Kills it whenever it is there, until the others have answered. Gives the processes that were killed. */
  async function keepAway(role: string, answered: () => boolean): Promise<number[]> {
    const killed: number[] = [];
    const began = Date.now();
    const goesOn = (ms: number): boolean => ms < AWAY_MS || (!answered() && ms < LONGEST_AWAY_MS);
    for (; goesOn(Date.now() - began); await pause(50)) {
      const noted = JSON.parse(readFileSync(platform.layout.processesFile, 'utf8')) as Record<string, { pid: number }>;
      const pid = noted[role]?.pid;
      if (pid === undefined || killed.includes(pid)) continue;
      process.kill(pid, 'SIGKILL');
      killed.push(pid);
    }
    assert.ok(killed.length > 0, `${role} runs`);
    return killed;
  }

  /** Null where it is served. */
  async function ask(surface: Surface): Promise<string | null> {
    switch (surface) {
      case 'api': {
        const { status, body } = await platform.request('api', { path: `/v3/apps/${app}`, token });
        return status === 200 ? null : `${status} ${body}`;
      }
      case 'logs': {
        const { status, body } = await platform.request('log-cache', { path: `/api/v1/read/${app}?limit=5`, token });
        return status === 200 ? null : `${status} ${body}`;
      }
      case 'sign-in':
        return signIn();
      case 'ssh':
        return greeting();
    }
  }

  function signIn(): Promise<string | null> {
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    const { username, password, ca_cert: ca } = platform.credentials;
    const host = `uaa.${platform.domain}`;
    const headers = {
      host: `${host}:${platform.httpsPort}`,
      authorization: `Basic ${Buffer.from('cf:').toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    };
    const target = { host: '127.0.0.1', port: platform.httpsPort, servername: host, path: '/oauth/token', ca };
    const call = request({ ...target, method: 'POST', headers, agent: false, timeout: 20_000 }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode === 200 ? null : `${response.statusCode}`));
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end(new URLSearchParams({ grant_type: 'password', username, password }).toString());
    return promise;
  }

  function greeting(): Promise<string | null> {
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    const socket = connect({ host: '127.0.0.1', port: platform.layout.settings.sshPort! });
    socket.once('data', (words) => resolve(words.toString().startsWith('SSH-2.0-') ? null : words.toString()));
    socket.once('error', reject);
    socket.setTimeout(5_000, () => socket.destroy(new Error('no greeting')));
    return promise.finally(() => socket.destroy());
  }
});
