import assert from 'node:assert/strict';
import { chownSync, closeSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../../src/kit/errors.ts';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';
import { isAlive, type ProcessIdentity, processesWith, signal, terminate } from '../../../src/kit/process.ts';
import { listenUnix } from '../../../src/kit/sockets.ts';
import { cellProxySettingsOf, routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { components } from '../../../src/platform/components/all.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { maxConnections } from '../../../src/platform/components/descriptors.ts';
import { Supervised } from '../../../src/platform/components/supervised.ts';
import { type TestParts, testParts } from '../../support/component-parts.ts';

const SOON_MS = 25_000;

for (const [name, id, port] of [
  ['router', 'zzt', 21_370],
  ['cell-0-proxy', 'zzu', 21_380],
] as const) {
  describe(`HLT-03: a take-over of ${name}`, { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
    let made: TestParts;
    let component: Component;
    let adminSocket: string;
    let runDirectory: string;
    let all: () => ProcessIdentity[];
    const keep = (adopted: ProcessIdentity | null, of = component): Supervised =>
      new Supervised(of, adopted && { ...adopted, fingerprint: component.fingerprint() });
    const answering = async (): Promise<number> => {
      const said = await new HaproxySocket(adminSocket, { timeoutMs: 2_000 }).process().catch(() => '0');
      return Number(said.split('/')[0]);
    };

    before(async () => {
      made = await testParts(id, port);
      const { parts } = made;
      const { layout, accounts } = parts;
      const of = (wanted: string): Component => components(parts).find((one) => one.name === wanted)!;
      await terminate(await of('listeners').start(), 0, 'SIGKILL'); // it makes the sockets, which stay open here
      component = of(name);
      const settings =
        name === 'router'
          ? { uid: accounts.router.uid, ...routerSettingsOf(layout, maxConnections()) }
          : {
              uid: accounts.proxies[0]!.uid,
              ...cellProxySettingsOf(layout, 0, accounts.proxies[0]!, maxConnections()),
            };
      adminSocket = 'sockets' in settings ? settings.sockets.admin : settings.socket;
      runDirectory = settings.runDirectory;
      all = () => processesWith(settings.uid, `${settings.runDirectory}/haproxy.cfg`);
    });
    afterEach(async () => {
      await Promise.all(all().map((one) => terminate(one, 0, 'SIGKILL')));
    });
    after(() => made.remove());

    /** Whether the listeners lead anywhere: for the router through the sockets between its halves. */
    async function serves(): Promise<boolean> {
      if (name !== 'router') return (await answering()) > 0;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const call = request(
        { host: '127.0.0.1', port, path: '/', rejectUnauthorized: false, agent: false, timeout: 1_000 },
        (response) => {
          response.resume();
          resolve(response.statusCode === 404); // no such route: HAProxy itself says so
        },
      );
      call.on('timeout', () => call.destroy());
      call.on('error', () => resolve(false));
      call.end();
      return promise;
    }

    async function soon(what: string, check: () => boolean | Promise<boolean>, meanwhile = async () => {}) {
      for (const deadline = Date.now() + SOON_MS; !(await check()); await pause(5)) {
        assert.ok(Date.now() < deadline, `${what}: not within ${SOON_MS} ms`);
        await meanwhile();
      }
    }

    async function started(): Promise<Supervised> {
      const supervised = keep(null);
      await supervised.tend();
      await soon('it serves', serves);
      return supervised;
    }

    test('whose supervisor was killed in the middle leaves one that serves, and none that nobody knows', async () => {
      const old = (await started()).identity!;
      // A supervisor that is killed now has written down the old one.
      const cutOff = component.takeOver!(old).catch(() => {});
      await soon('another runs', () => all().length === 2);
      const next = keep(old);
      await next.tend();
      await cutOff;
      await soon(
        'the old one ends',
        () => !isAlive(old),
        async () => void (await next.tend()),
      );
      assert.deepEqual(
        all().map(({ pid }) => pid),
        [next.identity?.pid],
      );
      assert.equal(await answering(), next.identity?.pid);
      assert.ok(await serves());
    });

    test('of which nothing was written down is found, and is ended with the rest', async () => {
      const old = (await started()).identity!;
      const cutOff = component.takeOver!(old).catch(() => {});
      await soon('another runs', () => all().length === 2);
      const next = keep(null);
      await next.tend();
      await cutOff;
      const serving = next.identity!;
      assert.notEqual(serving.pid, old.pid);
      assert.equal(await answering(), serving.pid);
      const known = [serving, ...next.others()].map(({ pid }) => pid);
      assert.deepEqual(
        all().filter(({ pid }) => !known.includes(pid)),
        [],
        'what ends the component ends every one of them',
      );
    });

    if (name === 'cell-0-proxy')
      test('by code that finds nothing of an image is a start at the same sockets, and the old one has made way', async () => {
        const old = (await started()).identity!;
        component.makeWay?.();
        await soon('the old one ends', () => !isAlive(old));
        const { identity } = await started();
        assert.deepEqual(
          all().map(({ pid }) => pid),
          [identity?.pid],
        );
      });

    test('that fails after it took the sockets is followed by a start, and requests are answered again', async () => {
      const supervised = await started();
      const old = supervised.identity!;
      const inode = statSync(adminSocket).ino;
      const replacing = assert.rejects(supervised.replace(1_000), { code: 'takeover_failed' });
      await killedWithSockets(old, inode);
      await replacing;
      // The old one may answer a while by what it has accepted.
      const another = async () =>
        supervised.identity?.pid !== old.pid && (await answering()) === supervised.identity?.pid;
      await soon('another serves', another, async () => void (await supervised.tend()));
      await soon('it serves again', serves);
      assert.equal(supervised.outdated, false);
    });

    test('that leaves the old one deaf is followed by a start, and the old one finishes', async () => {
      await started();
      const [old] = all();
      const failing: Component = {
        ...component,
        takeOver: async () => {
          await deafen();
          throw new CupolaError('takeover_failed', 'the new one ended');
        },
      };
      const supervised = keep(old!, failing);
      await supervised.tend();
      await assert.rejects(supervised.replace(1_000), { code: 'takeover_failed' });
      assert.deepEqual(supervised.leaving, [old], 'what is ended with the component');
      await soon('it serves again', serves, async () => void (await supervised.tend()));
      assert.equal(await answering(), supervised.identity?.pid);
      await soon('the old one ends', () => !isAlive(old!));
    });

    test('that fails before that leaves the old one as it was', async () => {
      const supervised = await started();
      const old = supervised.identity!;
      const mend = breakStart();
      await assert.rejects(supervised.replace(1_000));
      mend();
      await supervised.tend();
      assert.equal(supervised.identity?.pid, old.pid);
      assert.ok(await serves());
    });

    test('is made for roots that are in the files and not in the process, as a supervisor leaves it that was killed in between', async () => {
      const supervised = await started();
      const old = supervised.identity!;
      assert.ok(await supervised.renew());
      assert.equal(supervised.identity?.pid, old.pid, 'nothing is to be taken');
      await made.replaceRoots();
      const mend = breakStart();
      await assert.rejects(component.takeOver!(old)); // it wrote the roots
      mend();
      assert.ok(await supervised.renew());
      const next = supervised.identity!;
      assert.notEqual(next.pid, old.pid);
      assert.equal(await answering(), next.pid);
      assert.ok(await supervised.renew());
      assert.equal(supervised.identity?.pid, next.pid, 'it has them now');
    });

    test('that failed under a supervisor that is gone is seen by the next one', async () => {
      const old = (await started()).identity!;
      await deafen();
      const next = keep(old);
      assert.equal(next.state, 'running', 'by what was written down');
      await soon('it serves', serves, async () => void (await next.tend()));
      assert.equal(await answering(), next.identity?.pid);
    });

    /** Kills the successor when its socket is in the place of the old one's, and before it could have said that it is ready. */
    async function killedWithSockets(old: ProcessIdentity, inode: number): Promise<void> {
      let successor: ProcessIdentity | undefined;
      await soon('a new one comes up', () => {
        successor = all().find(({ pid }) => pid !== old.pid);
        return successor !== undefined;
      });
      const deadline = Date.now() + SOON_MS;
      while ((statSync(adminSocket, { throwIfNoEntry: false })?.ino ?? inode) === inode)
        assert.ok(Date.now() < deadline);
      assert.ok(signal(successor!, 'SIGKILL'));
    }

    /** What one does that ends right after it took the sockets, and before it asked the old one to finish. */
    async function deafen(): Promise<void> {
      const directory = dirname(adminSocket);
      const { uid, gid } = statSync(directory);
      for (const name of readdirSync(directory)) {
        const part = join(directory, `${name}.part`);
        closeSync(listenUnix(part));
        chownSync(part, uid, gid);
        renameSync(part, join(directory, name));
      }
      assert.equal(await answering(), 0);
    }

    /** Keeps the next from starting. Gives what puts everything right. */
    function breakStart(): () => void {
      if (name === 'router') {
        mkdirSync(`${runDirectory}/routes.map.new`);
        return () => rmdirSync(`${runDirectory}/routes.map.new`);
      }
      writeFileSync(`${runDirectory}/certificates.list`, '/nonexistent.pem a\n');
      return () => writeFileSync(`${runDirectory}/certificates.list`, '');
    }
  });
}
